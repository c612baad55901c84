"""The desk's own addresses beside the admin's."""

from django.urls import path

from desk import views

app_name = "desk"
urlpatterns = [path("visit/end/", views.end_visit, name="end_visit")]
