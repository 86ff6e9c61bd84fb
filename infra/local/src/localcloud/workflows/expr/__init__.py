"""The expression language: tokens, lexer, nodes, parser, evaluator."""
