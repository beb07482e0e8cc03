"""PromQL: parse, plan and evaluate, vectorised over series and steps."""
