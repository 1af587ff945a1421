// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// externalAPI asks the external metrics API. The client of k8s.io/metrics would do the same, without a limit of time or length.
type externalAPI struct {
	client rest.Interface
}

func newExternalAPI(config *rest.Config) (*externalAPI, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &externalv1beta1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper { return boundedTransport{transport} })
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("building the client of the external metrics API: %w", err)
	}
	httpClient.CheckRedirect = stay
	client, err := rest.RESTClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("building the client of the external metrics API: %w", err)
	}
	return &externalAPI{client: client}, nil
}

// ask returns the sum of the values of a metric in thousandths. A fault says why there is none.
func (e *externalAPI) ask(ctx context.Context, namespace, name, selector string) (milli int64, fault observe.Reading) {
	list := &externalv1beta1.ExternalMetricValueList{}
	err := e.client.Get().Namespace(namespace).Resource(name).
		VersionedParams(&metav1.ListOptions{LabelSelector: selector}, metav1.ParameterCodec).Do(ctx).Into(list)
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return 0, observe.Reading{State: observe.ReadingDenied}
	case err != nil:
		return 0, observe.Reading{State: observe.ReadingUnavailable}
	}
	for i := range list.Items {
		milli = min(max(milli+milliOf(&list.Items[i].Value), -mostMilli), mostMilli)
	}
	if len(list.Items) == 0 || milli < 0 {
		return 0, observe.Reading{State: observe.ReadingNotANumber}
	}
	return milli, observe.Reading{}
}

// milliOf is a quantity in thousandths, between bounds of which the sum of two fits a number: MilliValue is 0 where it is too large.
func milliOf(q *resource.Quantity) int64 {
	const most = mostMilli / 1000
	switch {
	case q.CmpInt64(most) >= 0:
		return mostMilli
	case q.CmpInt64(-most) <= 0:
		return -mostMilli
	}
	return q.MilliValue()
}
