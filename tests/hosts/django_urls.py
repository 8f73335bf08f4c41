from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.hosts.apps import chunks, count

FRESH = {"cache-control": "max-age=60"}


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {count('django')}", content_type="text/plain", headers=FRESH)


async def item(request: HttpRequest, item_id: int) -> HttpResponse:
    return HttpResponse(f"item {item_id}", content_type="text/plain")


async def private(request: HttpRequest) -> HttpResponse:
    user = request.headers.get("x-user", "nobody")
    return HttpResponse(f"private page of {user}", headers={"cache-control": "private, max-age=60"})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks(), content_type="text/plain", headers=FRESH)


urlpatterns = [
    path("hello", hello),
    path("items/<int:item_id>", item),
    path("private", private),
    path("stream", stream),
]
