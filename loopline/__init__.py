"""Everything of Loopline that must not know its orchestrator."""
