#include "apps/support/sequence.h"

#include <fmt/format.h>

#include "apps/support/html.h"
#include "apps/support/svg.h"

namespace elbo {

const std::string_view kSequenceStyle = R"(
.frame { display: none; }
.frames:not(.live) .frame:last-child, .frame.shown { display: block; }
.step { margin: 0 0 .2rem; text-align: center; font-size: .95rem; font-variant-numeric: tabular-nums; }
.player { display: flex; align-items: center; gap: .8rem; max-width: 30rem; margin: .6rem auto; }
.player[hidden] { display: none; }
.player button { font: inherit; font-size: .9rem; min-width: 4.6rem; min-height: 2.4rem; padding: .2rem .8rem;
  color: var(--ink); background: #fff; border: 1px solid #8b949e; border-radius: .3rem; }
.player input { flex: 1; min-width: 0; height: 2.4rem; accent-color: #0072b2; }
@media print { .player { display: none; } }
)";

const std::string_view kSequenceScript = R"(<script>
document.querySelectorAll('.sequence').forEach(function (figure) {
  var frames = figure.querySelectorAll('.frame'), player = figure.querySelector('.player');
  if (!player) return;
  var slider = player.querySelector('input'), button = player.querySelector('button'), timer = 0;
  function show() {
    frames.forEach(function (frame, i) { frame.classList.toggle('shown', i + 1 === +slider.value); });
    slider.setAttribute('aria-valuetext', frames[slider.value - 1].querySelector('.step').textContent);
  }
  function stop() { clearInterval(timer); timer = 0; button.textContent = 'Play'; }
  function next() {
    if (+slider.value === frames.length) return stop();
    slider.stepUp();
    show();
  }
  button.addEventListener('click', function () {
    if (timer) return stop();
    if (+slider.value === frames.length) { slider.value = 1; show(); }
    button.textContent = 'Pause';
    timer = setInterval(next, 400);
  });
  slider.addEventListener('input', function () { stop(); show(); });
  figure.querySelector('.frames').classList.add('live');
  player.hidden = false;
  slider.value = frames.length;
  show();
});
</script>
)";

std::string image_html(const Picture& picture, std::string_view description) {
  // Its size stands in the tag, so that the text below does not jump once the picture is decoded.
  return fmt::format("<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">\n",
                     base64(picture.png), picture.width, picture.height, escape_html(description));
}

std::string missing_html(const Drawing& drawing) {
  return fmt::format(
      "<div class=\"missing\">Not drawn: {}. Its data are in figures/{}.csv, the script in "
      "figures/{}.gp.</div>\n",
      escape_html(drawing.problem), escape_html(drawing.name), escape_html(drawing.name));
}

std::string sequence_html(const std::vector<Frame>& frames, const std::string& prefix,
                          std::string_view description) {
  std::vector<std::string> drawings;
  std::string missing;
  int left_out = 0;
  for (const Frame& frame : frames) {
    const auto* drawing = std::get_if<Drawing>(&frame.picture);
    if (!drawing) continue;
    if (drawing->svg.empty()) {
      if (left_out++ == 0) missing = missing_html(*drawing);
      continue;
    }
    drawings.push_back(inline_svg(shrink_svg(drawing->svg), fmt::format("{}{}-", prefix, drawings.size()),
                                  fmt::format("{} ({})", description, frame.label)));
  }
  if (left_out > 1)
    missing += fmt::format("<div class=\"missing\">Nor were {} more pictures.</div>\n", left_out - 1);
  const SharedDrawings shared = share_drawings(drawings, prefix + "common-");

  std::string html = missing + shared.common + "<div class=\"frames scroll\" tabindex=\"0\">";
  size_t next_drawing = 0;
  int shown = 0;
  for (const Frame& frame : frames) {
    const auto* drawing = std::get_if<Drawing>(&frame.picture);
    if (drawing && drawing->svg.empty()) continue;
    html += fmt::format("<div class=\"frame\"><p class=\"step\">{}</p>{}</div>\n", escape_html(frame.label),
                        drawing ? shared.drawings[next_drawing++]
                                : image_html(std::get<Picture>(frame.picture), description));
    ++shown;
  }
  html += "</div>\n";
  // The last element within must stay a frame, and one picture needs no player.
  if (shown > 1)
    html += fmt::format(
        "<div class=\"player\" hidden><button type=\"button\">Play</button>"
        "<input type=\"range\" min=\"1\" max=\"{0}\" value=\"{0}\" step=\"1\" "
        "aria-label=\"Picture\"></div>\n",
        shown);
  return html;
}

}  // namespace elbo
