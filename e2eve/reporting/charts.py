"""Charts in the house colours: plotly figures and the JSON a page embeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's palette, told apart by colour-blind readers, on white and on black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
GRID = "rgba(128,134,150,0.22)"


def house_template() -> "go.layout.Template":
    """Fonts, colours and margins of every chart; the page gives the text colour, light or dark."""
    import plotly.graph_objects as go

    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "ticks": "",
        "automargin": True,
        "title": {"standoff": 12, "font": {"size": 13}},
    }
    layout = go.Layout(
        font={"family": FONT, "size": 13},
        title={"font": {"size": 15}, "x": 0, "xanchor": "left", "xref": "paper"},
        colorway=PALETTE,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 16, "t": 48, "b": 48},
        xaxis=axis,
        yaxis=axis,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GRID, "remove": ["select2d", "lasso2d"]},
        hoverlabel={"font": {"family": FONT}},
    )
    return go.layout.Template(layout=layout)


def line_chart(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_title: str,
    y_title: str,
    height: int = 340,
) -> "go.Figure":
    """One line for each name of `curves`, given as (x values, y values); `height` in pixels."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, (x, y) in curves.items():
        mode = "lines+markers" if len(x) <= 40 else "lines"
        figure.add_scatter(x=list(x), y=list(y), name=name, mode=mode, marker={"size": 5})
    figure.update_layout(
        title_text=title,
        height=height,
        xaxis_title=x_title,
        yaxis_title=y_title,
        showlegend=len(curves) > 1,
        hovermode="x unified",
    )
    return figure


def figure_json(figure: "go.Figure") -> str:
    """The figure in the house template as JSON that is safe inside a `<script>` element."""
    import plotly.graph_objects as go

    styled = go.Figure(figure)
    styled.update_layout(template=house_template())
    return script_safe(styled.to_json())


def script_safe(text: str) -> str:
    """JSON that cannot end the `<script>` element that it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
