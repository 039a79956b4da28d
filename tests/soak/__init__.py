"""`make soak`: a shop at work while its processes are killed, and what its segments and campaigns are worth then."""
