import keras

from shortlist import _native


def test_it_tells_versions_backend_and_instruction_set(answer) -> None:
    document = answer("doctor")
    assert document["keras_backend"] == keras.config.backend()
    assert document["versions"]["keras"] == keras.__version__
    assert document["simd"]["chosen"] == _native.simd_level()
    assert document["simd"]["chosen"] in document["simd"]["available"]
