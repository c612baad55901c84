import json

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions
from rest_framework.request import Request

from plumbing import problems
from plumbing.refusals import Refusal


class Gone(Refusal):
    status = 410
    code = "gone"


def handled(error):
    request = Request(RequestFactory().get("/"))
    request._request.request_id = "req_1"
    return problems.exception_handler(error, {"request": request})


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (Gone("It is gone."), 410, "gone", "It is gone."),
        (Refusal("No."), 409, "refused", "No."),
        (Http404("table users"), 404, "not_found", "There is nothing at this address."),
        (
            exceptions.NotFound("No ApiKey matches the given query."),
            404,
            "not_found",
            "There is nothing at this address.",
        ),
        (PermissionDenied("secret"), 403, "permission_denied", "You may not do this here."),
        (RequestDataTooBig("x"), 413, "too_large", "The body is too large."),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed", 'Method "PUT" not allowed.'),
        (ValidationError({"name": "Too long."}), 400, "invalid", "name: Too long."),
        (ValidationError("Too long."), 400, "invalid", "Too long."),
        (exceptions.ValidationError({"a": {"0": ["Bad."]}}), 400, "invalid", "a: 0: Bad."),
        (exceptions.ValidationError([{}, {"token": ["Bad."]}]), 400, "invalid", "token: Bad."),
        (exceptions.ValidationError({}), 400, "invalid", "{}"),
    ],
)
def test_each_error_is_one_sentence_one_code_and_the_request_id(error, status, code, message):
    answer = handled(error)
    assert answer.status_code == status
    assert answer.data["error"]["code"] == code
    assert answer.data["error"]["message"] == message
    assert answer.data["error"]["request_id"] == "req_1"
    assert isinstance(answer.data["error"].get("fields", {}), dict)


def test_a_surprise_is_left_to_be_a_500():
    assert handled(RuntimeError("inside")) is None


def test_throttling_says_how_long():
    assert handled(exceptions.Throttled(wait=7)).headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("path", "accept", "is_json"),
    [
        ("/api/v1/x", "text/html", True),
        ("/v1/chat/completions", "text/html", True),
        ("/app/", "text/html", False),
        ("/app/", "application/json", True),
        ("/app/", "*/*", False),
        ("/app/", "garbage;;q=x", True),
    ],
)
def test_programs_get_json_and_browsers_a_page(path, accept, is_json):
    request = RequestFactory().get(path, headers={"accept": accept})
    assert problems.wants_json(request) is is_json


def test_an_answer_in_json():
    request = RequestFactory().get("/api/v1/x")
    request.request_id = "req_2"
    answer = problems.answer(request, 421, "unknown_host", "No shop here.")
    assert (answer.status_code, json.loads(answer.content)) == (
        421,
        {"error": {"code": "unknown_host", "message": "No shop here.", "request_id": "req_2"}},
    )
