"""Beyond one machine; imported only when asked for."""
