"""The shared inference core of the marginal generators: count, measure, infer, sample.

Rules: it knows integer codes, sizes, structural zeros and the unit's bound, nothing of columns or schemas
(`generators.encoding` translates); only `measurer` holds private data; all else is post-processing.
"""
