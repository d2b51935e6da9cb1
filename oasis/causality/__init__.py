"""`oasis harm` and `oasis frontier`: what heads do to the output, whether statistics say so, and routings made of either.

Heads are changed one at a time, in pairs and by layers, on clips of training; routings are judged on others. Read `dense`
first, then `measured`, `predict` and `frontier`.
"""
