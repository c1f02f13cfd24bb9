"""How properties are tested: with other examples every time, and in CI always with the same."""

from hypothesis import settings

# Hypothesis takes the same examples every time where the variable CI is set, as .ci/run does.
settings.register_profile(
    "patient", settings.default, deadline=None
)  # a busy machine is no failure
settings.load_profile("patient")
