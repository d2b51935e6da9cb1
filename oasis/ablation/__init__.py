"""Ablations: arms that differ in one thing, each trained on with several seeds, scored on clips that nothing was trained on.

`arms` says what differs, `study` trains and scores, `figures` draws the rows.
"""
