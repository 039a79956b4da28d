"""`make soak`: a shop at work for minutes while its processes are killed, and what its segments are worth then."""
