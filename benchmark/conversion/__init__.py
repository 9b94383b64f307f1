"""Role-playing data sets of others in the benchmark's schema: CoSER, CharacterEval and RoleBench.

Users bring their own downloads; nothing is fetched and nothing of these data sets is shipped. Their licences, and the
rights in the works that they are made from, are for the user to heed: a converted file holds the same texts. Only the
layout is read; how each is read stands on top of its own file.
"""

from benchmark.conversion.convert import ADAPTERS, Conversion, convert_benchmark
from benchmark.conversion.tally import NOT_GIVEN

__all__ = ["ADAPTERS", "NOT_GIVEN", "Conversion", "convert_benchmark"]
