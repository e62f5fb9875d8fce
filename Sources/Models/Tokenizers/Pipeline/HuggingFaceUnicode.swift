/// Unicode as Hugging Face's tokenizers see it: some of their tables are those of Unicode 8 or 9, so that later characters
/// have no category there. Compared with the library (0.23) over all scalars.
enum HuggingFaceUnicode {
  /// Whether BertPreTokenizer and Punctuation cut at `scalar`: ASCII punctuation and symbols, and category P.
  static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII {
      return switch scalar.value {
      case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
      default: false
      }
    }
    // Two that were punctuation then and are a symbol and a mark now.
    if scalar.value == 0x166D || scalar.value == 0x111C9 { return true }
    return !ScalarClasses.of(scalar).isDisjoint(with: .punctuation) && isOld(scalar)
  }

  /// Whether BertNormalizer's cleaning takes `scalar` for a control character: Cc, Cf, Co.
  static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .privateUse: true
    case .format: isOld(scalar)
    default: false
    }
  }

  /// Whether BertNormalizer takes `scalar` for an accent: Mn.
  static func isAccent(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1734, 0x1171E: true  // were Mn then
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: false  // were not
    default: scalar.properties.generalCategory == .nonspacingMark && isOld(scalar)
    }
  }

  /// Whether StripAccents drops `scalar`: category M of Unicode 9.
  static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1CF2, 0x1CF3: true
    case 0x111C9: false
    default: !ScalarClasses.of(scalar).isDisjoint(with: .mark) && isOld(scalar, 9)
    }
  }

  /// Whether BertNormalizer puts spaces around `scalar`. (The fifth block ends where that library says.)
  static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }

  private static func isOld(_ scalar: Unicode.Scalar, _ version: Int = 8) -> Bool {
    guard let age = scalar.properties.age else { return false }
    return age.major <= version
  }
}
