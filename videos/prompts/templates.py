"""Prompt templates, by use. A [blank] in square brackets is for the user to fill in.

Each covers what a shot needs: subject, camera, light, and movement. They also serve as examples of good
prompts, so keep them short enough to read.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Template:
    """`name` is part of its URL, `/?template=<name>`: people share links, so keep it when the text changes."""

    name: str
    title: Any
    prompt: str


TEMPLATES: list[tuple[Any, list[Template]]] = [
    (
        _("Product"),
        [
            Template(
                "turntable",
                _("Turntable"),
                "[A steel wristwatch] turns slowly on a round plinth of pale stone. The camera stays level and close, at 85 mm, while one large softbox sweeps a clean highlight along its edges. Plain warm-gray background, a soft shadow, dust-free studio look, one full turn.",
            ),
            Template(
                "splash",
                _("Splash"),
                "[A can of lemonade] stands upright against a [sunny yellow] background as a ring of water bursts upward around it in extreme slow motion. Hard light from behind makes every drop sparkle, beads run down the cold metal. Locked camera, macro detail, crisp and fresh.",
            ),
            Template(
                "morning-table",
                _("Morning table"),
                "[A ceramic coffee grinder] on a worn oak table beside an open window. A hand reaches in, lifts it and sets it down again. Low morning sun through thin curtains, steam drifting in the background. Handheld camera at table height, easing closer, shallow depth of field.",
            ),
            Template(
                "unboxing",
                _("Unboxing"),
                "Seen straight from above: two hands lift the lid off a plain cardboard box, fold back the tissue paper and reveal [a pair of white sneakers]. Even, soft light from the left, a calm [sage green] surface, unhurried movements. The camera sinks slowly until the product fills the frame.",
            ),
        ],
    ),
    (
        _("Portrait"),
        [
            Template(
                "window-light",
                _("Window light"),
                "Close portrait of [an elderly violin maker] beside a tall north window. A slow breath, a glance outside, then a small smile into the lens. Soft light on one half of the face, the workshop falling into shadow behind. 50 mm, the camera drifts a hand's width to the right.",
            ),
            Template(
                "night-city",
                _("Night in the city"),
                "[A young woman in a raincoat] waits at a crossing after rain and turns her head toward the camera. Red and teal shop signs shimmer on the wet street and on her face, traffic melts into round blurs of light. Eye level, slow push-in, a few strands of hair moving in the wind.",
            ),
            Template(
                "at-work",
                _("At work"),
                "[A glassblower] at work, seen from the waist up: turning the rod, leaning in, checking the glowing glass against the light. The fire is the main light, warm and flickering, with a faint blue edge from a skylight. The camera circles a quarter turn at a respectful distance. Sparks, focus, calm.",
            ),
            Template(
                "golden-hour",
                _("Golden hour"),
                "[A father and his small daughter] walk through tall grass toward the camera just before sunset. The sun stands low behind them and draws a bright outline around their hair; seeds float through the light. Long lens, the camera glides backwards at their pace, laughter without words.",
            ),
        ],
    ),
    (
        _("Landscape"),
        [
            Template(
                "over-the-ridge",
                _("Over the ridge"),
                "The camera flies low over a dark pine forest, rises along a rocky ridge and, at the crest, opens onto [a valley filled with morning fog]. First sun from the right strikes the peaks while the valley is still blue. One smooth, continuous flight, birds far below.",
            ),
            Template(
                "tide",
                _("Incoming tide"),
                "A wide beach of black sand at dusk. Thin sheets of water slide in, mirror a [violet] sky and draw back in lace-like patterns. The camera stands a hand above the sand and does not move; only water, foam and slow clouds do. Quiet, spacious, long exposure feel.",
            ),
            Template(
                "storm-plain",
                _("Storm on the plain"),
                "Time-lapse of a thunderstorm crossing an endless plain of [golden wheat]. Towering clouds grow and turn, curtains of rain sweep from left to right, lightning glows inside them. In front, the field bends in waves. Locked wide shot, low horizon, the last sun breaking through at the end.",
            ),
            Template(
                "four-seasons",
                _("Four seasons"),
                "A single [oak tree] on a hill through one year in one shot: bare branches in snow, first green, full summer crown, red leaves blowing away. The camera moves in a slow half circle around it while light and shadow race over the grass. Seamless changes, no cuts.",
            ),
        ],
    ),
    (
        _("Story"),
        [
            Template(
                "the-letter",
                _("The letter"),
                "Evening in a small kitchen. [An old sailor] opens a letter, reads, and stops in the middle of a line; the hand with the paper sinks. A lamp over the table is the only light, rain runs down the window. The camera starts behind the shoulder and moves round to the face, very slowly.",
            ),
            Template(
                "tiny-explorer",
                _("Tiny explorer"),
                "[A robot no larger than a thumb] climbs over the roots of a mossy forest floor as if they were mountains, stops, and looks up at a single glowing mushroom. Camera at its eye level, following close behind, then tilting up. Beams of dusty light, dewdrops like lanterns, sense of wonder.",
            ),
            Template(
                "last-train",
                _("The last train"),
                "[A woman with a red suitcase] runs along an empty platform at night as the last train begins to move. She slows, stops, catches her breath, and then hears something behind her and turns. Tracking shot at her side, cold platform lights passing over her face, warm windows sliding by.",
            ),
            Template(
                "paper-world",
                _("Paper world"),
                "Stop-motion style: [a fishing village] made of folded paper wakes up. Tiny windows light one after another, a paper boat leaves the harbor on waves of blue card, gulls on threads circle above. Soft lamp as the rising sun, visible texture of the paper, slow sideways camera move.",
            ),
        ],
    ),
    (
        _("Sports drill"),
        [
            Template(
                "ladder",
                _("Agility ladder"),
                "[A young soccer player] runs through an agility ladder on a green training field: two quick steps in each square, knees high, arms working, then a short sprint out of the frame. Side view at knee height, the camera tracks at the same speed. Clear daylight, whole body visible, real-time pace.",
            ),
            Template(
                "free-throw",
                _("Slow-motion free throw"),
                "[A basketball player] takes a free throw in an empty gym, shown in slow motion from the side: knees bend, elbow under the ball, wrist snaps, fingers follow through until the ball drops through the net. Locked camera, whole body in frame, even indoor light, plain background, every phase easy to see.",
            ),
            Template(
                "serve",
                _("Tennis serve"),
                "[A tennis player] serves on a [clay] court: calm stance, high toss, racket drop, contact at full stretch, balanced landing. The camera starts behind the baseline and swings in a smooth quarter circle to the side, in half speed. Late-afternoon sun, long shadows, the ball clearly visible.",
            ),
            Template(
                "squat",
                _("Clean technique"),
                "[A trainer] shows a bodyweight squat on a mat in a bright studio, twice: feet at shoulder width, hips back, straight back, knees over the toes, and up again without haste. Three-quarter view from the front at hip height, locked camera, soft even light, uncluttered background, steady rhythm.",
            ),
        ],
    ),
]

BY_NAME: dict[str, Template] = {
    template.name: template for _use, templates in TEMPLATES for template in templates
}
