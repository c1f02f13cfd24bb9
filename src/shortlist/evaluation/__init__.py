"""How good the retrieved lists are, beside baselines."""

from shortlist._extras import needs

with needs("`shortlist.evaluation`", "data"):
    from shortlist.evaluation.evaluate import Validation, evaluate
    from shortlist.evaluation.evaluation import Evaluation
    from shortlist.evaluation.recall_at_k import recall_at_k
    from shortlist.evaluation.recommender import Recommender

__all__ = ["Evaluation", "Recommender", "Validation", "evaluate", "recall_at_k"]
