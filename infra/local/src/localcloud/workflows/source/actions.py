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
from localcloud.workflows.source.document import DocumentNode, Mapping, Scalar
from localcloud.workflows.source.linker import LinkError, check_emulated, missing_defaults
from localcloud.workflows.source.place import Place
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
from localcloud.workflows.source.templates import PlacedExpression, Template, constant, expression_text, is_expression

DEFAULT_MAX_RETRIES = 5
"""`max_retries` of a retry map without one (assumed: that of the ready-made policies)."""

_DEFAULT_BACKOFF = "retry.default_backoff"
_PREDICATE_PARAMETER = "exception"


def build_assign(node: DocumentNode, place: Place) -> Assign:
    """Build `assign`: a list of one-entry maps."""
    items = place.sequence(node, "assign").items
    if not 1 <= len(items) <= MAX_ASSIGNMENTS:
        place.fail(f"assign takes 1 to {MAX_ASSIGNMENTS} assignments, not {len(items)}", node.position)
    return Assign(tuple(_assignment(item, place) for item in items))


def _assignment(node: DocumentNode, place: Place) -> Assignment:
    entries = place.mapping(node, "an assignment").entries
    if len(entries) != 1:
        place.fail("an assignment is a map with one entry", node.position)
    entry = entries[0]
    target = _reference(entry.key, entry.key_position, place)
    return Assignment(target, place.template(entry.value, "assign value"), entry.key_position)


def _reference(text: str, position: Position, place: Place) -> Reference:
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        place.fail(f"expression is longer than {MAX_EXPRESSION_CHARACTERS} characters", position)
    try:
        node: Node = parse_reference(text)
        path: list[Template] = []
        while not isinstance(node, Name):
            assert isinstance(node, Member | Index)
            path.append(_path_part(node, position, place))
            node = node.target
    except ExpressionError as error:
        place.fail(f"error in assignment target '{text}': {error.message}", position, offset=error.offset)
    return Reference(node.name, tuple(reversed(path)))


def _path_part(node: Member | Index, position: Position, place: Place) -> Template:
    match node:
        case Member(key=str() as key) | Index(index=Literal(value=str() as key)):
            return constant(key, position)
        case Index(index=index):
            code = compile_expression(index, place.linker)
            return Template(position, code.now, code.later, (PlacedExpression(index, position),), is_constant=False)


def build_call(body: Mapping, place: Place) -> Call:
    """Build `call` with its `args` and `result`."""
    entry = place.required(body, "call", "a call step")
    name = place.text(entry.value, "call")
    args, result = body.get("args"), body.get("result")
    try:
        callee = place.linker.callee(name)
        callee, arguments = _arguments(name, callee, args.value if args else None, place, entry.value.position)
    except LinkError as error:
        place.fail(str(error), args.value.position if args and "argument" in str(error) else entry.value.position)
    return Call(callee, arguments, place.name(result.value, "result") if result else None)


def _arguments(
    name: str, callee: Callee, node: DocumentNode | None, place: Place, position: Position
) -> tuple[Callee, tuple[Template, ...]]:
    """Return the callee and the arguments in the order of its parameters.

    Raises:
        LinkError: they do not fit the callee.
    """
    if isinstance(callee, ConnectorCallee):
        entries = place.mapping(node, "args of a connector").entries if node is not None else ()
        given = tuple(place.template(entry.value, f"argument '{entry.key}'") for entry in entries)
        return ConnectorCallee(name, tuple(entry.key for entry in entries)), given
    parameters = place.linker.parameters(callee)
    if isinstance(node, Mapping):
        return callee, _named(name, parameters, node, place, position)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return callee, _completed(name, parameters, [], position)
    items = place.sequence(node, "args that are not a map").items
    return callee, _completed(name, parameters, [place.template(item, "argument") for item in items], position)


def _completed(
    name: str, parameters: tuple[Parameter, ...], given: list[Template], position: Position
) -> tuple[Template, ...]:
    defaults = missing_defaults(name, parameters, len(given))
    return (*given, *(constant(value, position) for value in defaults))


def _named(
    name: str, parameters: tuple[Parameter, ...], node: Mapping, place: Place, position: Position
) -> tuple[Template, ...]:
    known = {parameter.name: parameter for parameter in parameters}
    for entry in node.entries:
        if entry.key not in known:
            place.fail(f"unexpected argument '{entry.key}' of '{name}'", entry.key_position)
        check_emulated(name, (known[entry.key],))
    arguments: list[Template] = []
    for parameter in parameters:
        given = node.get(parameter.name)
        if given is not None:
            arguments.append(place.template(given.value, f"argument '{parameter.name}'"))
        elif parameter.is_required:
            raise LinkError(f"missing argument '{parameter.name}' of '{name}'")
        else:
            arguments.append(constant(parameter.default, position))
    return tuple(arguments)


def build_retry(node: DocumentNode, position: Position, place: Place) -> Retry:
    """Build `retry`: a ready-made policy of the library, or a map of predicate, max_retries and backoff."""
    if isinstance(node, Scalar):
        name = _named_object(node, "retry", place)
        policy = place.linker.library.policies.get(name)
        if policy is None:
            place.fail(f"symbol '{name}' is not a retry policy", node.position)
        return Retry(
            LibraryPredicate(place.linker.library.functions[policy.predicate]),
            constant(policy.max_retries, position),
            policy.backoff,
            position,
        )
    body = place.mapping(node, "retry")
    place.check_keys(body, ("predicate", "max_retries", "backoff"), "retry")
    predicate = place.required(body, "predicate", "retry").value
    max_retries, backoff = body.get("max_retries"), body.get("backoff")
    return Retry(
        _predicate(predicate, place),
        place.template(max_retries.value, "max_retries") if max_retries else constant(DEFAULT_MAX_RETRIES, position),
        _backoff(backoff.value, place) if backoff else place.linker.library.backoffs[_DEFAULT_BACKOFF],
        position,
    )


def _named_object(node: DocumentNode, what: str, place: Place) -> str:
    """Return the dotted name in `${http.default_retry}`: in a retry, functions are referred to, not called."""
    text = place.text(node, what)
    name = None
    if is_expression(text):
        try:
            name = dotted_name(parse_expression(expression_text(text)))
        except ExpressionError as error:
            place.fail(f"error evaluating {what}: {error.message}", node.position, offset=2 + error.offset)
    if name is None:
        place.fail(f"{what} must name a policy or predicate, as in ${{http.default_retry}}", node.position)
    return name


def _predicate(node: DocumentNode, place: Place) -> LibraryPredicate | RoutinePredicate:
    name = _named_object(node, "predicate", place)
    linker = place.linker
    if name in linker.routines:
        try:
            missing_defaults(name, linker.parameters(RoutineCallee(name)), 1)
        except LinkError as error:
            place.fail(f"a retry predicate takes the error as its one argument: {error}", node.position)
        return RoutinePredicate(name)
    policy = linker.library.policies.get(name)
    function = linker.library.functions.get(policy.predicate if policy else name)
    if function is None or [parameter.name for parameter in function.parameters] != [_PREDICATE_PARAMETER]:
        place.fail(f"symbol '{name}' is neither a retry predicate nor a sub-workflow name", node.position)
    return LibraryPredicate(function)


def _backoff(node: DocumentNode, place: Place) -> Backoff | BackoffTemplate:
    backoffs = place.linker.library.backoffs
    if isinstance(node, Scalar):
        name = _named_object(node, "backoff", place)
        if name not in backoffs:
            place.fail(f"symbol '{name}' is not a backoff", node.position)
        return backoffs[name]
    body = place.mapping(node, "backoff")
    default = backoffs[_DEFAULT_BACKOFF]
    place.check_keys(body, ("initial_delay", "max_delay", "multiplier"), "backoff")

    def part(key: str, fallback: float) -> Template:
        entry = body.get(key)
        return place.template(entry.value, key) if entry else constant(fallback, node.position)

    return BackoffTemplate(
        part("initial_delay", default.initial_delay),
        part("max_delay", default.max_delay),
        part("multiplier", default.multiplier),
    )
