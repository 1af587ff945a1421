from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='TaskRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task_id', models.CharField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('batch', models.CharField(blank=True, db_index=True, max_length=100)),
                ('published_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='TaskRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task_id', models.CharField(db_index=True, max_length=64)),
                ('name', models.CharField(max_length=200)),
                ('batch', models.CharField(blank=True, db_index=True, max_length=100)),
                ('hostname', models.CharField(max_length=200)),
                ('pid', models.IntegerField()),
                ('ppid', models.IntegerField()),
                ('routing_key', models.CharField(max_length=200)),
                ('redelivered', models.BooleanField(null=True)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('state', models.CharField(blank=True, max_length=20)),
                ('rss_kib', models.IntegerField(null=True)),
                ('peak_kib', models.IntegerField(null=True)),
                ('torch_mapped', models.BooleanField(null=True)),
            ],
        ),
    ]
