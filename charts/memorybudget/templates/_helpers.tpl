{{- define "memorybudget.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "memorybudget.serviceAccount" -}}
{{- default (printf "%s-controller-manager" (include "memorybudget.fullname" .)) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "memorybudget.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "memorybudget.labels" -}}
{{ include "memorybudget.selector" . }}
app.kubernetes.io/part-of: memorybudget
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "memorybudget.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* Nine tenths of what a memory limit in Mi or Gi leaves beside 56Mi for the program itself, or half of a small one, as Go spells it; nothing for other limits. */ -}}
{{- define "memorybudget.goMemLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString -}}
{{- if regexMatch "^[1-9][0-9]*Gi$" $limit -}}
{{- $limit = printf "%dMi" (mul (trimSuffix "Gi" $limit | int64) 1024) -}}
{{- end -}}
{{- if regexMatch "^[1-9][0-9]*Mi$" $limit -}}
{{- $limit = trimSuffix "Mi" $limit | int64 -}}
{{- printf "%dMiB" (max (div $limit 2) (div (mul (sub $limit 56) 9) 10)) -}}
{{- end -}}
{{- end -}}
