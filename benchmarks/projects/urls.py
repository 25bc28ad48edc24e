"""The kiosk's URLs, and one that sends other mail."""

from django.core.mail import EmailMessage
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from coop_kiosk.urls import urlpatterns as of_the_kiosk


@csrf_exempt
def send(request: HttpRequest) -> HttpResponse:
    """Send a mail whose Message-ID is the body of the request."""
    message_id = request.body.decode()
    mail = EmailMessage("News", "There are some.", to=["member@example.org"])
    mail.extra_headers = {"Message-ID": message_id}
    try:
        mail.send()
    except DatabaseError:
        return HttpResponse(status=503)
    return HttpResponse(status=201)


urlpatterns = [*of_the_kiosk, path("mail", send)]
