// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"time"
)

const (
	plotWidth, panelHeight, panelGap, plotMargin = 860, 130, 46, 50
)

// colors are those of the lines of a panel, in order: what is wanted or allowed, and what there is.
var colors = []string{"#c0392b", "#1f5fa8"}

// plot draws panels below each other, with time along all of them.
type plot struct {
	begin, end time.Time
	body       bytes.Buffer
	panels     int
}

// panel draws lines of values between 0 and most.
func (p *plot) panel(place int, title string, most float64, lines ...[]point) {
	p.panels = max(p.panels, place+1)
	top := float64(panelGap + place*(panelHeight+panelGap))
	fmt.Fprintf(&p.body, `<text x="%d" y="%.0f">%s</text>`+"\n", plotMargin, top-10, title)
	fmt.Fprintf(&p.body, `<rect x="%d" y="%.0f" width="%d" height="%d" fill="none" stroke="#bbb"/>`+"\n", plotMargin, top, plotWidth, panelHeight)
	fmt.Fprintf(&p.body, `<text x="%d" y="%.0f" text-anchor="end">%.0f</text>`+"\n", plotMargin-6, top+10, most)
	fmt.Fprintf(&p.body, `<text x="%d" y="%.0f" text-anchor="end">0</text>`+"\n", plotMargin-6, top+panelHeight)
	for i, line := range lines {
		fmt.Fprintf(&p.body, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, colors[i%len(colors)])
		for j, at := range line {
			if j > 0 { // A value holds until the next.
				fmt.Fprintf(&p.body, "%.1f,%.1f ", p.x(at.at), top+panelHeight*(1-line[j-1].value/most))
			}
			fmt.Fprintf(&p.body, "%.1f,%.1f ", p.x(at.at), top+panelHeight*(1-at.value/most))
		}
		fmt.Fprintln(&p.body, `"/>`)
	}
}

func (p *plot) x(at time.Time) float64 {
	return plotMargin + plotWidth*at.Sub(p.begin).Seconds()/p.end.Sub(p.begin).Seconds()
}

func (p *plot) document() []byte {
	height := panelGap + p.panels*(panelHeight+panelGap)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth+2*plotMargin, height)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	b.Write(p.body.Bytes())
	fmt.Fprintf(&b, `<text x="%d" y="%d">0 s</text><text x="%d" y="%d" text-anchor="end">%.0f s</text>`+"\n</svg>\n",
		plotMargin, height-20, plotMargin+plotWidth, height-20, p.end.Sub(p.begin).Seconds())
	return b.Bytes()
}
