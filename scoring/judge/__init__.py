"""Language models as judges of responses: rubrics, verdicts, who is asked, what it costs and how biased it is.

Nothing in here needs torch until a model on this machine is asked.
"""
