"""The one page of plumbing; see ``plumbing.views`` for who may see it."""

from django.urls import path

from plumbing import views

urlpatterns = [
    path("mailbox/", views.letters, name="mailbox"),
    path("mailbox/<slug:name>/", views.letter, name="mailbox_letter"),
    path("mailbox/<slug:name>/html", views.letter_html, name="mailbox_letter_html"),
]
