from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0013_recovered_payments'),
    ]

    operations = [
        migrations.AddField(
            model_name='stripeevent',
            name='problem',
            field=models.CharField(blank=True, db_default='', help_text='Why it cannot be processed.', max_length=300, verbose_name='problem'),
        ),
    ]
