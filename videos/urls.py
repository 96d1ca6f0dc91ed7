from django.urls import path

from videos import views, webhooks

app_name = "videos"
urlpatterns = [
    path("", views.studio, name="studio"),
    path("videos/", views.library, name="library"),
    path("videos/<uuid:pk>/", views.video, name="video"),
    path("videos/<uuid:pk>/card/", views.card, name="card"),
    path("videos/<uuid:pk>/file/", views.file, name="file"),
    path("videos/<uuid:pk>/poster/", views.poster, name="poster"),
    path("videos/<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("videos/<uuid:pk>/delete/", views.delete, name="delete"),
    path("uploads/<uuid:pk>/", views.upload, name="upload"),
    path("webhooks/openai/", webhooks.openai, name="openai_webhook"),
]
