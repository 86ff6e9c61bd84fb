"""Builds the actions that hold no steps: assign, call, and the policy of a retry.

Does not know about: blocks, jumps and the visibility of names.
"""

from __future__ import annotations

from localcloud.workflows.errors import Position
from localcloud.workflows.expr.evaluator import compile_expression
from localcloud.workflows.expr.nodes import Index, Literal, Member, Name, Node, dotted_name
from localcloud.workflows.expr.parser import parse_expression, parse_reference
from localcloud.workflows.expr.tokens import ExpressionError
from localcloud.workflows.functions.signatures import Backoff, Parameter
from localcloud.workflows.limits import MAX_ASSIGNMENTS, MAX_EXPRESSION_CHARACTERS
from localcloud.workflows.source.build_context import BuildContext
from localcloud.workflows.source.document import DocumentNode, Mapping, Scalar
from localcloud.workflows.source.linker import LinkError, check_emulated, missing_defaults
from localcloud.workflows.source.steps import (
    Assign,
    Assignment,
    BackoffTemplate,
    Call,
    Callee,
    ConnectorCallee,
    LibraryPredicate,
    Reference,
    Retry,
    RoutineCallee,
    RoutinePredicate,
)
from localcloud.workflows.source.templates import SourceExpression, Template, constant, expression_text, is_expression

DEFAULT_MAX_RETRIES = 5
"""`max_retries` of a retry map without one (assumed: that of the ready-made policies)."""

_DEFAULT_BACKOFF = "retry.default_backoff"
_PREDICATE_PARAMETER = "exception"


def build_assign(node: DocumentNode, context: BuildContext) -> Assign:
    """Build `assign`: a list of one-entry maps."""
    items = context.sequence(node, "assign").items
    if not 1 <= len(items) <= MAX_ASSIGNMENTS:
        context.fail(f"assign takes 1 to {MAX_ASSIGNMENTS} assignments, not {len(items)}", node.position)
    return Assign(tuple(_assignment(item, context) for item in items))


def _assignment(node: DocumentNode, context: BuildContext) -> Assignment:
    entries = context.mapping(node, "an assignment").entries
    if len(entries) != 1:
        context.fail("an assignment is a map with one entry", node.position)
    entry = entries[0]
    target = _reference(entry.key, entry.key_position, context)
    return Assignment(target, context.template(entry.value, "assign value"), entry.key_position)


def _reference(text: str, position: Position, context: BuildContext) -> Reference:
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        context.fail(f"expression is longer than {MAX_EXPRESSION_CHARACTERS} characters", position)
    try:
        node: Node = parse_reference(text)
        path: list[Template] = []
        while not isinstance(node, Name):
            assert isinstance(node, Member | Index)
            path.append(_path_part(node, position, context))
            node = node.target
    except ExpressionError as error:
        context.fail(f"error in assignment target '{text}': {error.message}", position, offset=error.offset)
    return Reference(node.name, tuple(reversed(path)))


def _path_part(node: Member | Index, position: Position, context: BuildContext) -> Template:
    match node:
        case Member(key=str() as key) | Index(index=Literal(value=str() as key)):
            return constant(key, position)
        case Index(index=index):
            code = compile_expression(index, context.linker)
            return Template(position, code.now, code.later, (SourceExpression(index, position),), is_constant=False)


def build_call(body: Mapping, context: BuildContext) -> Call:
    """Build `call` with its `args` and `result`."""
    entry = context.required(body, "call", "a call step")
    name = context.text(entry.value, "call")
    args, result = body.get("args"), body.get("result")
    try:
        callee = context.linker.callee(name)
        callee, arguments = _arguments(name, callee, args.value if args else None, context, entry.value.position)
    except LinkError as error:
        context.fail(str(error), args.value.position if args and "argument" in str(error) else entry.value.position)
    return Call(callee, arguments, context.name(result.value, "result") if result else None)


def _arguments(
    name: str, callee: Callee, node: DocumentNode | None, context: BuildContext, position: Position
) -> tuple[Callee, tuple[Template, ...]]:
    """Return the callee and the arguments in the order of its parameters.

    Raises:
        LinkError: they do not fit the callee.
    """
    if isinstance(callee, ConnectorCallee):
        entries = context.mapping(node, "args of a connector").entries if node is not None else ()
        given = tuple(context.template(entry.value, f"argument '{entry.key}'") for entry in entries)
        return ConnectorCallee(name, tuple(entry.key for entry in entries)), given
    parameters = context.linker.parameters(callee)
    if isinstance(node, Mapping):
        return callee, _named(name, parameters, node, context, position)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return callee, _completed(name, parameters, [], position)
    items = context.sequence(node, "args that are not a map").items
    return callee, _completed(name, parameters, [context.template(item, "argument") for item in items], position)


def _completed(
    name: str, parameters: tuple[Parameter, ...], given: list[Template], position: Position
) -> tuple[Template, ...]:
    defaults = missing_defaults(name, parameters, len(given))
    return (*given, *(constant(value, position) for value in defaults))


def _named(
    name: str, parameters: tuple[Parameter, ...], node: Mapping, context: BuildContext, position: Position
) -> tuple[Template, ...]:
    known = {parameter.name: parameter for parameter in parameters}
    for entry in node.entries:
        if entry.key not in known:
            context.fail(f"unexpected argument '{entry.key}' of '{name}'", entry.key_position)
        check_emulated(name, (known[entry.key],))
    arguments: list[Template] = []
    for parameter in parameters:
        given = node.get(parameter.name)
        if given is not None:
            arguments.append(context.template(given.value, f"argument '{parameter.name}'"))
        elif parameter.is_required:
            raise LinkError(f"missing argument '{parameter.name}' of '{name}'")
        else:
            arguments.append(constant(parameter.default, position))
    return tuple(arguments)


def build_retry(node: DocumentNode, position: Position, context: BuildContext) -> Retry:
    """Build `retry`: a ready-made policy of the library, or a map of predicate, max_retries and backoff."""
    if isinstance(node, Scalar):
        name = _named_object(node, "retry", context)
        policy = context.linker.library.policies.get(name)
        if policy is None:
            context.fail(f"symbol '{name}' is not a retry policy", node.position)
        return Retry(
            LibraryPredicate(context.linker.library.functions[policy.predicate]),
            constant(policy.max_retries, position),
            policy.backoff,
            position,
        )
    body = context.mapping(node, "retry")
    context.check_keys(body, ("predicate", "max_retries", "backoff"), "retry")
    predicate = context.required(body, "predicate", "retry").value
    max_retries, backoff = body.get("max_retries"), body.get("backoff")
    return Retry(
        _predicate(predicate, context),
        context.template(max_retries.value, "max_retries") if max_retries else constant(DEFAULT_MAX_RETRIES, position),
        _backoff(backoff.value, context) if backoff else context.linker.library.backoffs[_DEFAULT_BACKOFF],
        position,
    )


def _named_object(node: DocumentNode, what: str, context: BuildContext) -> str:
    """Return the dotted name in `${http.default_retry}`: in a retry, functions are referred to, not called."""
    text = context.text(node, what)
    name = None
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        context.fail(f"expression is longer than {MAX_EXPRESSION_CHARACTERS} characters", node.position)
    if is_expression(text):
        try:
            name = dotted_name(parse_expression(expression_text(text)))
        except ExpressionError as error:
            context.fail(f"error evaluating {what}: {error.message}", node.position, offset=2 + error.offset)
    if name is None:
        context.fail(f"{what} must name a policy or predicate, as in ${{http.default_retry}}", node.position)
    return name


def _predicate(node: DocumentNode, context: BuildContext) -> LibraryPredicate | RoutinePredicate:
    name = _named_object(node, "predicate", context)
    linker = context.linker
    if name in linker.routines:
        try:
            missing_defaults(name, linker.parameters(RoutineCallee(name)), 1)
        except LinkError as error:
            context.fail(f"a retry predicate takes the error as its one argument: {error}", node.position)
        return RoutinePredicate(name)
    policy = linker.library.policies.get(name)
    function = linker.library.functions.get(policy.predicate if policy else name)
    if function is None or [parameter.name for parameter in function.parameters] != [_PREDICATE_PARAMETER]:
        context.fail(f"symbol '{name}' is neither a retry predicate nor a sub-workflow name", node.position)
    return LibraryPredicate(function)


def _backoff(node: DocumentNode, context: BuildContext) -> Backoff | BackoffTemplate:
    backoffs = context.linker.library.backoffs
    if isinstance(node, Scalar):
        name = _named_object(node, "backoff", context)
        if name not in backoffs:
            context.fail(f"symbol '{name}' is not a backoff", node.position)
        return backoffs[name]
    body = context.mapping(node, "backoff")
    default = backoffs[_DEFAULT_BACKOFF]
    context.check_keys(body, ("initial_delay", "max_delay", "multiplier"), "backoff")

    def part(key: str, fallback: float) -> Template:
        entry = body.get(key)
        return context.template(entry.value, key) if entry else constant(fallback, node.position)

    return BackoffTemplate(
        part("initial_delay", default.initial_delay),
        part("max_delay", default.max_delay),
        part("multiplier", default.multiplier),
    )
