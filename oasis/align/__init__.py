"""Whether two clips may be compared pixel by pixel, and the explicit policies that make them comparable."""
