"""The tools and memories over the Model Context Protocol, for any client that speaks it."""
