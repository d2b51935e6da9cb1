"""The leaderboard as a page that works offline: tables, figures, the rows behind every number, frames side by side."""
