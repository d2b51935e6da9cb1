"""`oasis bench`: everything that this project claims, measured anew on one machine by one command."""
