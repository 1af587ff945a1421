// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import "maps"

// refused are edits of the full example that break one rule each, by what is wrong. TestEveryRuleHasACase finds the
// rules without one.
func refused() map[string][]edit {
	cases := map[string][]edit{}
	for _, group := range []map[string][]edit{budgetCases, quantityCases, applicationCases, tierCases, runtimeCases, podCases} {
		maps.Copy(cases, group)
	}
	for name, value := range envCases {
		cases["application.env: "+name] = []edit{{"spec.application.env", value}}
		cases["tier's env: "+name] = []edit{{"spec.tiers[bot].env", value}}
	}
	for name, value := range envFromCases {
		cases["application.envFrom: "+name] = []edit{{"spec.application.envFrom", value}}
		cases["tier's envFrom: "+name] = []edit{{"spec.tiers[bot].envFrom", value}}
	}
	return cases
}

// budgetCases concern the resource as a whole.
var budgetCases = map[string][]edit{
	"name: 43 characters":                {{"metadata.name", "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnop"}},
	"name: starts with a digit":          {{"metadata.name", "1shop"}},
	"name: has a dot":                    {{"metadata.name", "shop.eu"}},
	"floors: min above the budget":       {{"spec.tiers[web].replicas", "{min: 5}"}},
	"floors: no room for the reserve":    {{"spec.reserve", "1100Mi"}},
	"floors: no room for one byte more":  {{"spec.reserve", "1140850689"}},
	"floors: a percentage is rounded up": {{"spec.memory", "1006632961"}, {"spec.reserve", "1%"}, {"spec.tiers[ml].memory.perPod", "64Mi"}},
	"floors: all pods of all tiers":      {{"spec.tiers[worker].scaling", ""}, {"spec.tiers[worker].replicas", ""}, {"spec.tiers[ml].replicas", ""}},
	"floors: 10000 pods of 16Ti":         {{"spec.memory", "16Ti"}, {"spec.tiers[web].memory.perPod", "16Ti"}, {"spec.tiers[web].replicas", "{min: 10000}"}},
	"pod above the budget":               {{"spec.tiers[ml].memory.perPod", "3Gi"}},
	"pod one byte above the budget":      {{"spec.tiers[ml].memory.perPod", "2147483649"}},
	"queue in two tiers":                 {{"spec.tiers[ml].celery.queues", "[ml, emails]"}},
	"queue twice in a tier":              {{"spec.tiers[ml].celery.queues", "[ml, ml]"}},
	"tasks in two tiers":                 {{"spec.tiers[worker].celery.tasks", "['recommendations.tasks.score_*']"}},
	"no broker":                          {{"spec.broker", ""}, {"spec.tiers[bot].scaling", ""}},
	"broker of no kind":                  {{"spec.broker", "{}"}, {"spec.tiers[bot].scaling", ""}},
	"two brokers":                        {{"spec.broker.rabbitmq", "{urlFrom: {secretKeyRef: {name: mq, key: url}}}"}, {"spec.tiers[worker].scaling", ""}},
	"no Celery app":                      {{"spec.application.celery", ""}},
	"scaling without a management API":   {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}}}"}, {"spec.tiers[worker].scaling", "{}"}, {"spec.tiers[bot].scaling", ""}},
	"streams without a broker":           {{"spec.broker", ""}, {"spec.application.celery", ""}, {"spec.tiers[worker]", ""}, {"spec.tiers[ml]", ""}, {"spec.tiers[beat]", ""}},
	"streams beside RabbitMQ":            {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}}}"}, {"spec.tiers[worker].scaling", ""}},
	"waiting time of RabbitMQ":           {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}, managementURLFrom: {secretKeyRef: {name: mq, key: management}}}}"}, {"spec.tiers[bot].scaling", ""}},
	"no image":                           {{"spec.application.image", ""}},
	"database without Django":            {{"spec.application.django", ""}, {"spec.cache", ""}},
	"cache without Django":               {{"spec.application.django", ""}, {"spec.database", ""}},
	"mount of an unknown volume in a tier": {
		{"spec.tiers[web].pod.volumeMounts[0].name", "scrap"},
	},
	"tier name twice": {{"spec.tiers[worker].name", "web"}},
}

// quantityCases concern quantities: of memory, CPU and disk.
var quantityCases = map[string][]edit{
	"memory: not a quantity":              {{"spec.memory", "2 GB"}},
	"memory: exponent with a fraction":    {{"spec.memory", "'1e1.5'"}},
	"memory: exponent out of range":       {{"spec.memory", "1e99999999999999999999"}},
	"memory: exponent that takes minutes": {{"spec.memory", "'1E-2147483648'"}},
	"memory: empty":                       {{"spec.memory", "''"}},
	"memory: 1500m":                       {{"spec.memory", "1500m"}},
	"memory: a fraction of a byte":        {{"spec.memory", "'1073741824.5'"}},
	"memory: too little":                  {{"spec.memory", "15Mi"}},
	"memory: too much":                    {{"spec.memory", "17Ti"}},
	"memory: more than 64 bits":           {{"spec.memory", "100E"}},
	"memory: negative":                    {{"spec.memory", "-2Gi"}},
	"memory: true":                        {{"spec.memory", "true"}},
	"memory: a fractional number":         {{"spec.memory", "1.5"}},
	"memory: 33 characters":               {{"spec.memory", "'000000000000000000000002147483648'"}},
	"memory: left out":                    {{"spec.memory", ""}},
	"reserve: a word":                     {{"spec.reserve", "Automatic"}},
	"reserve: 101%":                       {{"spec.reserve", "101%"}},
	"reserve: a fraction of a percent":    {{"spec.reserve", "2.5%"}},
	"reserve: 1500m":                      {{"spec.reserve", "1500m"}},
	"reserve: negative":                   {{"spec.reserve", "-1"}},
	"perPod: not a quantity":              {{"spec.tiers[web].memory.perPod", "512MB"}},
	"perPod: 1500m":                       {{"spec.tiers[web].memory.perPod", "1500m"}},
	"perPod: too little":                  {{"spec.tiers[web].memory.perPod", "16777215"}},
	"perPod: too much":                    {{"spec.tiers[web].memory.perPod", "20Ti"}},
	"perPod: 16Gi as a number":            {{"spec.tiers[web].memory.perPod", "17179869184"}},
	"maxMemoryPerChild: not a quantity":   {{"spec.tiers[worker].celery.maxMemoryPerChild", "200 MB"}},
	"maxMemoryPerChild: 1500m":            {{"spec.tiers[worker].celery.maxMemoryPerChild", "1500m"}},
	"maxMemoryPerChild: 200000":           {{"spec.tiers[worker].celery.maxMemoryPerChild", "200000"}},
	"maxMemoryPerChild: as much as pods":  {{"spec.tiers[worker].celery.maxMemoryPerChild", "0.5Gi"}},
	"cpu.request: not a quantity":         {{"spec.tiers[web].cpu.request", "half"}},
	"cpu.request: negative":               {{"spec.tiers[web].cpu.request", "-1"}},
	"cpu.limit: not a quantity":           {{"spec.tiers[web].cpu.limit", "half"}},
	"cpu.limit: 0":                        {{"spec.tiers[web].cpu.limit", "0"}, {"spec.tiers[web].cpu.request", ""}},
	"cpu.request: above the limit":        {{"spec.tiers[web].cpu.request", "1001m"}},
	"scaleUp.tolerance: a percentage":     {{"spec.tiers[worker].scaling.behavior.scaleUp.tolerance", "10%"}},
	"scaleUp.tolerance: a float":          {{"spec.tiers[worker].scaling.behavior.scaleUp.tolerance", "0.1"}},
	"scaleUp.tolerance: above 1":          {{"spec.tiers[worker].scaling.behavior.scaleUp.tolerance", "10"}},
	"scaleUp.tolerance: long exponent":    {{"spec.tiers[worker].scaling.behavior.scaleUp.tolerance", "'1E-2147483648'"}},
	"scaleDown.tolerance: a word":         {{"spec.tiers[worker].scaling.behavior.scaleDown.tolerance", "none"}},
	"scaleDown.tolerance: negative":       {{"spec.tiers[worker].scaling.behavior.scaleDown.tolerance", "-1m"}},
	"modelCache: not a quantity":          {{"spec.tiers[ml].modelCache.sizeLimit", "big"}},
	"modelCache: 0":                       {{"spec.tiers[ml].modelCache.sizeLimit", "0"}},
	"emptyDir: not a quantity":            {{"spec.tiers[web].pod.volumes[scratch].emptyDir.sizeLimit", "big"}},
	"emptyDir: negative":                  {{"spec.tiers[web].pod.volumes[scratch].emptyDir.sizeLimit", "-1Gi"}},
	"divisor: exponent with a fraction":   {{"spec.tiers[web].env[LIMIT].valueFrom.resourceFieldRef.divisor", "'1e1.5'"}},
}

// applicationCases concern what the tiers share.
var applicationCases = map[string][]edit{
	"image: spaces":                         {{"spec.application.image", "'registry.example/bunoraa: 1.4'"}},
	"imagePullSecrets: capital letters":     {{"spec.application.imagePullSecrets", "[{name: Pull}]"}},
	"settingsModule: a path":                {{"spec.application.django.settingsModule", "core/settings.py"}},
	"celery app: a path":                    {{"spec.application.celery.app", "core/celery.py"}},
	"broker Secret: capital letters":        {{"spec.broker.redis.urlFrom.secretKeyRef.name", "Broker"}},
	"broker Secret's key: a slash":          {{"spec.broker.redis.urlFrom.secretKeyRef.key", "broker/url"}},
	"broker Secret's key: two dots":         {{"spec.broker.redis.urlFrom.secretKeyRef.key", "..url"}},
	"RabbitMQ Secret: capital letters":      {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: Broker, key: url}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"management Secret: capital letters":    {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: broker, key: url}}, managementURLFrom: {secretKeyRef: {name: Broker, key: url}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"RabbitMQ Secret: two dots in a row":    {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: a..b, key: url}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"RabbitMQ Secret's key: a slash":        {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: broker, key: a/b}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"management Secret's key: a slash":      {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: broker, key: url}}, managementURLFrom: {secretKeyRef: {name: broker, key: a/b}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"mount of an unknown volume":            {{"spec.application.pod.volumeMounts[0].name", "upload"}},
	"mount of a volume of a tier alone":     {{"spec.application.pod.volumeMounts[0].name", "scratch"}},
	"policy: unknown":                       {{"spec.policy", "Dry"}},
	"an unknown field":                      {{"spec.applicaton", "{}"}},
	"an unknown field in a tier":            {{"spec.tiers[web].gunicorn.worker", "2"}},
	"unknown fields in an env and metadata": {{"spec.tiers[web].env[POD].secret", "x"}, {"metadata.label", "{a: b}"}},
}

// tierCases concern a tier.
var tierCases = map[string][]edit{
	"tier name: capital letters":          {{"spec.tiers[bot].name", "Bot"}},
	"tier name: 21 characters":            {{"spec.tiers[bot].name", "abcdefghijklmnopqrstu"}},
	"no runtime":                          {{"spec.tiers[bot].process", ""}, {"spec.tiers[bot].scaling", ""}},
	"two runtimes":                        {{"spec.tiers[bot].server", "{preset: Custom, port: 8000, command: [serve]}"}},
	"tasks without queues":                {{"spec.tiers[ml].celery.queues", ""}},
	"role Beat without beat":              {{"spec.tiers[bot].role", "Beat"}, {"spec.tiers[bot].scaling", ""}, {"spec.tiers[bot].replicas", ""}},
	"beat without the role Beat":          {{"spec.tiers[beat].role", "Worker"}},
	"role Web without a port":             {{"spec.tiers[bot].role", "Web"}, {"spec.tiers[bot].process", "{}"}},
	"gunicorn without the role Web":       {{"spec.tiers[web].role", "Worker"}},
	"celery with the role Web":            {{"spec.tiers[worker].role", "Web"}},
	"beat with replicas":                  {{"spec.tiers[beat].replicas", "{min: 1}"}},
	"beat gated":                          {{"spec.tiers[beat].enforcement", "Gated"}},
	"server without an image":             {{"spec.tiers[model].image", ""}},
	"tier's image: spaces":                {{"spec.tiers[web].image", "a b"}},
	"min above max":                       {{"spec.tiers[worker].replicas", "{min: 3, max: 2}"}},
	"max 0, min left out":                 {{"spec.tiers[worker].replicas", "{max: 0}"}},
	"min above desired":                   {{"spec.tiers[worker].replicas", "{min: 2, desired: 1, max: 8}"}},
	"desired 0, min left out":             {{"spec.tiers[worker].replicas", "{desired: 0, max: 8}"}},
	"desired above max":                   {{"spec.tiers[worker].replicas", "{min: 0, desired: 3, max: 2}"}},
	"min: negative":                       {{"spec.tiers[worker].replicas.min", "-1"}},
	"min: more than 32 bits":              {{"spec.tiers[bot].replicas", "{min: 4294967296}"}, {"spec.tiers[bot].scaling", ""}},
	"scaling of a beat tier":              {{"spec.tiers[beat].scaling", "{}"}},
	"scaling by queues without celery":    {{"spec.tiers[web].scaling.metrics[0]", "{queue: {}}"}},
	"scaling to zero by what pods use":    {{"spec.tiers[web].replicas.min", "0"}},
	"scaling to zero by default":          {{"spec.tiers[web].replicas.min", "0"}, {"spec.tiers[web].scaling", "{}"}},
	"utilization of no request":           {{"spec.tiers[web].cpu", ""}},
	"utilization of a request of 0":       {{"spec.tiers[web].cpu", "{request: 0}"}, {"spec.tiers[web].scaling", "{}"}},
	"resource: two targets":               {{"spec.tiers[web].scaling.metrics[0].resource.targetAverageValue", "1"}},
	"resource: no target":                 {{"spec.tiers[web].scaling.metrics[0].resource", "{name: cpu}"}},
	"resource: another one":               {{"spec.tiers[web].scaling.metrics[0].resource.name", "gpu"}},
	"resource: not a quantity":            {{"spec.tiers[web].scaling.metrics[1].resource.targetAverageValue", "much"}},
	"resource: nothing":                   {{"spec.tiers[web].scaling.metrics[1].resource.targetAverageValue", "0"}},
	"scaling of celery by a stream":       {{"spec.tiers[worker].scaling.metrics", "[{queue: {}}, {redisStream: {stream: s, consumerGroup: g}}]"}},
	"scaling of gunicorn by a list":       {{"spec.tiers[web].scaling.metrics[0]", "{redisList: {list: l}}"}},
	"scaling of a process by its queues":  {{"spec.tiers[bot].scaling.metrics[0]", "{queue: {}}"}},
	"redisStream: no consumerGroup":       {{"spec.tiers[bot].scaling.metrics[0].redisStream.consumerGroup", ""}},
	"redisStream: a key with a space":     {{"spec.tiers[bot].scaling.metrics[0].redisStream.stream", "a b"}},
	"redisStream: a group with a newline": {{"spec.tiers[bot].scaling.metrics[0].redisStream.consumerGroup", "\"a\\nb\""}},
	"redisList: a key with a space":       {{"spec.tiers[bot].scaling.metrics[1].redisList.list", "a b"}},
	"scaling without replicas":            {{"spec.tiers[worker].replicas", ""}},
	"scaling without max":                 {{"spec.tiers[worker].replicas.max", ""}},
	"scaling: no metrics":                 {{"spec.tiers[worker].scaling.metrics", "[]"}},
	"scaling: metric of no kind":          {{"spec.tiers[worker].scaling.metrics[0].queue", ""}, {"spec.tiers[worker].scaling.metrics[0]", "{}"}},
	"scaling: metric of an autoscaler's":  {{"spec.tiers[worker].scaling.metrics[0]", "{type: Resource, resource: {name: cpu}}"}},
	"modelCache: two kinds":               {{"spec.tiers[ml].modelCache.persistentVolumeClaim", "{claimName: models}"}},
	"modelCache: of no kind":              {{"spec.tiers[ml].modelCache", "{}"}},
	"modelCache's claim: capital letters": {{"spec.tiers[model].modelCache.persistentVolumeClaim.claimName", "Models"}},
	"mount over the modelCache": {
		{"spec.tiers[ml].pod.volumes", "[{name: m, emptyDir: {}}]"},
		{"spec.tiers[ml].pod.volumeMounts", "[{name: m, mountPath: /models}]"},
	},
}

// runtimeCases concern gunicorn, Celery, model servers and other processes.
var runtimeCases = map[string][]edit{
	"gunicorn application: a path":      {{"spec.tiers[web].gunicorn.application", "core/wsgi.py"}},
	"workerClass: a path":               {{"spec.tiers[web].gunicorn.workerClass", "a/b"}},
	"healthPath: relative":              {{"spec.tiers[web].gunicorn.healthPath", "healthz"}},
	"jitter without maxRequests":        {{"spec.tiers[web].gunicorn.maxRequests", "0"}},
	"threads of sync":                   {{"spec.tiers[web].gunicorn.workerClass", "sync"}},
	"threads of gevent":                 {{"spec.tiers[web].gunicorn.workerClass", "gevent"}},
	"port: below 1024":                  {{"spec.tiers[web].gunicorn.port", "80"}},
	"workers: not a number":             {{"spec.tiers[web].gunicorn.workers", "many"}},
	"maxTasksPerChild with Solo":        {{"spec.tiers[ml].celery.maxTasksPerChild", "10"}},
	"maxMemoryPerChild with Threads":    {{"spec.tiers[ml].celery.pool", "Threads"}, {"spec.tiers[ml].celery.maxMemoryPerChild", "100Mi"}},
	"concurrency with Solo":             {{"spec.tiers[ml].celery.concurrency", "2"}},
	"requeue with early acks":           {{"spec.tiers[worker].celery.acks", "Early"}, {"spec.tiers[worker].celery.drain", "Requeue"}},
	"requeue with Solo":                 {{"spec.tiers[ml].celery.drain", "Requeue"}},
	"requeue with Threads":              {{"spec.tiers[ml].celery.pool", "Threads"}, {"spec.tiers[ml].celery.drain", "Requeue"}},
	"queue with a comma":                {{"spec.tiers[ml].celery.queues", "['a,b']"}},
	"queue with an empty name":          {{"spec.tiers[ml].celery.queues", "['']"}},
	"no queues":                         {{"spec.tiers[ml].celery.queues", "[]"}},
	"task with a space":                 {{"spec.tiers[ml].celery.tasks", "['a b']"}},
	"scheduler: a path":                 {{"spec.tiers[beat].beat.scheduler", "a/b.py"}},
	"preset without a model":            {{"spec.tiers[model].server.model", ""}},
	"preset with a command":             {{"spec.tiers[model].server.command", "[tritonserver]"}},
	"Custom without a command":          {{"spec.tiers[model].server", "{preset: Custom, port: 8000}"}},
	"Custom without a port":             {{"spec.tiers[model].server", "{preset: Custom, command: [serve]}"}},
	"Custom with batching":              {{"spec.tiers[model].server", "{preset: Custom, port: 8000, command: [serve], batching: {maxBatchSize: 2}}"}},
	"TorchServe on its management port": {{"spec.tiers[model].server", "{preset: TorchServe, port: 8081, model: {name: m}}"}},
	"server's healthPath: relative":     {{"spec.tiers[model].server.healthPath", "x"}},
	"model name: a slash":               {{"spec.tiers[model].server.model.name", "a/b"}},
	"model path: relative":              {{"spec.tiers[model].server.model.path", "models"}},
	"process: healthPath without port":  {{"spec.tiers[bot].process.port", ""}},
	"process: healthPath relative":      {{"spec.tiers[bot].process.healthPath", "x"}},
}
