"""A study of one model: everything that the suite can ask, in one folder."""
