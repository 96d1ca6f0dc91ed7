"""Each model is offered where it was made, and by the simulator while that stands in for all."""

from django.db import migrations
from django.db.models import OuterRef, Subquery


def forwards(apps, schema_editor):
    Channel, Offer = apps.get_model("videos", "Channel"), apps.get_model("videos", "Offer")
    Video, VideoModel = apps.get_model("videos", "Video"), apps.get_model("videos", "VideoModel")
    simulator = Channel.objects.get(slug="simulator")
    for model in VideoModel.objects.all():
        for channel in (model.channel, simulator):
            Offer.objects.get_or_create(
                model=model,
                channel=channel,
                defaults={"provider_model": model.provider_model, "cost_a_second": model.cost_a_second},
            )
    name = VideoModel.objects.filter(pk=OuterRef("model")).values("provider_model")[:1]
    Video.objects.filter(ended_at=None).update(provider_model=Subquery(name))


class Migration(migrations.Migration):
    dependencies = [("videos", "0008_offers")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
