//! Text from strangers, made inert: no markup in it, and nothing that can't be seen.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

/// So many marks may stand on one letter; the writing systems of people need no more, and a pile of them covers other lines.
const MOST_MARKS: usize = 3;

/// The escaper of every template: `askama.toml` names it.
///
/// HTML's own characters become references. Whatever a reader couldn't see, or what would turn other text around, is
/// written out as `⟨U+202E⟩`: a name must not look like another one, and a detail must not hide a part of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inert;

impl Escaper for Inert {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let (mut shown, mut marks) = (0, 0);
        for (at, letter) in text.char_indices() {
            marks = if within(letter, MARKS) { marks + 1 } else { 0 };
            if letter.is_control() || within(letter, UNSEEN) || marks > MOST_MARKS {
                Html.write_escaped_str(&mut dest, &text[shown..at])?;
                write!(dest, "⟨U+{:04X}⟩", u32::from(letter))?;
                shown = at + letter.len_utf8();
            }
        }
        Html.write_escaped_str(&mut dest, &text[shown..])
    }
}

fn within(letter: char, ranges: &[(u32, u32)]) -> bool {
    // Nearly all text is ASCII, and nothing in the lists is.
    !letter.is_ascii() && ranges.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(letter)))
}

/// Combining marks of all scripts, which stack on the letter before them.
const MARKS: &[(u32, u32)] =
    &[(0x300, 0x36f), (0x483, 0x489), (0x1ab0, 0x1aff), (0x1dc0, 0x1dff), (0x20d0, 0x20ff), (0xfe20, 0xfe2f)];

/// Beside control characters: what Unicode lists as ignorable when it is displayed (`Default_Ignorable_Code_Point`), what
/// turns the direction of text, spaces that only look like one, letters without ink, and code points without a meaning of
/// their own. The ideographic space stays: it is how Japanese names are written.
const UNSEEN: &[(u32, u32)] = &[
    (0xa0, 0xa0),
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x61c, 0x61c),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xe000, 0xf8ff),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0xfffe, 0xffff),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0x0010_ffff),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn inert(text: &str) -> String {
        let mut out = String::new();
        Inert.write_escaped_str(&mut out, text).unwrap();
        out
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(
            inert("<script>alert('1')</script>"),
            "&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;"
        );
        assert_eq!(inert("\" onclick=\"x&amp;"), "&#34; onclick=&#34;x&#38;amp;");
    }

    #[test]
    fn what_can_not_be_seen_is_written_out() {
        assert_eq!(inert("a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(
            inert("\u{200b}\u{feff}\u{0}\n\t\u{7f}"),
            "⟨U+200B⟩⟨U+FEFF⟩⟨U+0000⟩⟨U+000A⟩⟨U+0009⟩⟨U+007F⟩"
        );
        assert_eq!(inert("\u{2066}\u{e0041}\u{3164}\u{a0}"), "⟨U+2066⟩⟨U+E0041⟩⟨U+3164⟩⟨U+00A0⟩");
        assert_eq!(inert("<\u{2029}>"), "&#60;⟨U+2029⟩&#62;");
    }

    #[test]
    fn the_names_of_people_stay_as_they_are() {
        for name in ["Zoë Müller", "שרה", "山田　太郎", "Nguyễn", "e\u{301}", "राम", "😀", "O\u{2019}Brien"]
        {
            assert_eq!(inert(name), name);
        }
    }

    #[test]
    fn a_pile_of_marks_is_written_out() {
        assert_eq!(inert("a\u{301}\u{301}\u{301}\u{301}b"), "a\u{301}\u{301}\u{301}⟨U+0301⟩b");
    }
}
