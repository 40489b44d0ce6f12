//! Keyboard layouts without Latin letters: which key of a US keyboard a character is on.
//!
//! So `й` is the q key on a Cyrillic layout. Only characters that no key of the table uses by itself are listed.

/// Pairs of keys of a US keyboard and the characters of a layout on the same keys, one character each.
const LAYOUTS: &[(&str, &str)] = &[
    // Cyrillic: Russian, then what Ukrainian and Belarusian have elsewhere.
    ("qwertyuiop[]asdfghjkl;'zxcvbnm,.`", "йцукенгшщзхъфывапролджэячсмитьбюё"),
    ("QWERTYUIOP{}ASDFGHJKL:\"ZXCVBNM<>~", "ЙЦУКЕНГШЩЗХЪФЫВАПРОЛДЖЭЯЧСМИТЬБЮЁ"),
    ("s]'oSO", "іїєўІЎ"),
    // Greek.
    ("wertyuiopasdfghjklzxcvbnm", "ςερτυθιοπασδφγηξκλζχψωβνμ"),
    ("ERTYUIOPASDFGHJKLZXCVBNM", "ΕΡΤΥΘΙΟΠΑΣΔΦΓΗΞΚΛΖΧΨΩΒΝΜ"),
    // Hebrew.
    ("ertyuiopasdfghjkl;zxcvbnm,.", "קראטוןםפשדגכעיחלךףזסבהנמצתץ"),
    // Arabic. The b key types two letters and stays out.
    ("qwertyuiop[]asdfghjkl;'zxcvnm,./`", "ضصثقفغعهخحجدشسيبلاتنمكطئءؤرىةوزظذ"),
    // Korean, while its input method composes nothing.
    ("qwertyuiopasdfghjklzxcvbnm", "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡ"),
    ("QWERT", "ㅃㅉㄸㄲㅆ"),
];

/// Full-width forms of ASCII, which Chinese and Japanese input methods type, begin here: U+FF01 is `!`.
const FULL_WIDTH: u32 = 0xFF01 - 0x21;

/// The character of a US keyboard on the same key; `None` for ASCII and for characters of no known layout.
pub fn us_key(typed: char) -> Option<char> {
    if typed.is_ascii() {
        return None;
    }
    let full_width = u32::from(typed).checked_sub(FULL_WIDTH).and_then(char::from_u32).filter(char::is_ascii_graphic);
    let same_key = |(us, layout): &(&str, &str)| {
        let at = layout.chars().position(|c| c == typed)?;
        us.chars().nth(at)
    };
    full_width.or_else(|| LAYOUTS.iter().find_map(same_key))
}

#[cfg(test)]
mod tests {
    use super::{LAYOUTS, us_key};

    #[test]
    fn every_layout_has_a_character_for_each_of_its_keys_and_none_twice() {
        let mut seen = Vec::new();
        for (us, layout) in LAYOUTS {
            assert_eq!(us.chars().count(), layout.chars().count(), "{layout}");
            for c in layout.chars() {
                assert!(!c.is_ascii() && !seen.contains(&c), "{c}");
                seen.push(c);
            }
        }
    }

    #[test]
    fn characters_are_found_by_the_position_of_their_keys() {
        for (typed, key) in
            [('й', 'q'), ('Й', 'Q'), ('ы', 's'), ('і', 's'), ('σ', 's'), ('ד', 's'), ('ض', 'q'), ('ㅂ', 'q')]
        {
            assert_eq!(us_key(typed), Some(key), "{typed}");
        }
        assert_eq!([us_key('ｑ'), us_key('？'), us_key('q'), us_key('é')], [Some('q'), Some('?'), None, None]);
    }
}
