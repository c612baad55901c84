from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class DeskConfig(AppConfig):
    name = "desk"
    verbose_name = "Desk"
    default_auto_field = "django.db.models.BigAutoField"


class OperatorsAdminConfig(AdminConfig):
    default_site = "desk.site.OperatorSite"
