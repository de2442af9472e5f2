"""Teaching and forgetting: from inputs to the next generation of a memory."""
