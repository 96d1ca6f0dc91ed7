from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0012_webhook_form_and_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='payment',
            name='is_recovered',
            field=models.BooleanField(db_default=False, default=False, help_text='Made anew from what Stripe knows, because its record was missing here.', verbose_name='recovered'),
        ),
        migrations.AlterField(
            model_name='payment',
            name='status',
            field=models.CharField(choices=[('created', 'Not paid'), ('expired', 'Expired'), ('paid', 'Paid'), ('held', 'Needs a decision'), ('refunded', 'Refunded'), ('disputed', 'Disputed')], default='created', max_length=10, verbose_name='status'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('status', 'created')), fields=['created_at'], name='open_payments'),
        ),
    ]
