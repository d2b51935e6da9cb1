"""All that the suite can say about the heads of one model, as one linked report."""
