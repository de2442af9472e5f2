"""Fine-tuning a ranking model: conversations from a memory's own exemplars, and a LoRA recipe."""
