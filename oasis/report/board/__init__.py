"""The leaderboard: rows of many methods, their statistics, and tables; no torch, no measuring."""
