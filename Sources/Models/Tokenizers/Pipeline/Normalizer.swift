import Foundation

/// How a text is changed before it is cut, as Hugging Face's `normalizers` do it. Texts are valid UTF-8.
enum Normalizer: Sendable {
  /// Unicode's normalization forms.
  enum Form: String, Sendable { case nfc = "NFC", nfd = "NFD", nfkc = "NFKC", nfkd = "NFKD" }
  /// What `BertNormalizer` does.
  struct Bert: Sendable, Equatable {
    var cleansText = true
    var separatesChinese = true
    var stripsAccents = true
    var lowercases = true
  }

  case form(Form)
  case lowercase
  case stripAccents
  case bert(Bert)
  case replaceText([UInt8], with: [UInt8])
  case replacePattern(Pattern, with: [UInt8])
  case prepend([UInt8])
  case strip(left: Bool, right: Bool)
  case precompiled(CharsMap)
  case nmt

  /// The normalized `text`.
  func apply(to text: [UInt8]) -> [UInt8] {
    switch self {
    case .form(let form): return Normalizer.normalized(text, form)
    case .lowercase: return Normalizer.lowercased(text)
    case .stripAccents: return Normalizer.filtered(text) { !HuggingFaceUnicode.isMark($0) }
    case .bert(let options): return Normalizer.normalized(text, options)
    case .replaceText(let pattern, let content): return UTF8Text.replacing(text, pattern, with: content)
    case .replacePattern(let pattern, let content): return Normalizer.replaced(text, pattern, content)
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .strip(let left, let right): return Normalizer.stripped(text, left: left, right: right)
    case .precompiled(let map): return Normalizer.normalized(text, map)
    case .nmt: return Normalizer.nmt(text)
    }
  }

  private static func isASCII(_ text: [UInt8]) -> Bool { text.allSatisfy { $0 < 0x80 } }

  private static func normalized(_ text: [UInt8], _ form: Form) -> [UInt8] {
    // Below U+0300 (lead byte 0xCC) composed text is composed already; ASCII is in every form.
    if form == .nfc ? text.allSatisfy({ $0 < 0xCC }) : isASCII(text) { return text }
    let string = String(decoding: text, as: UTF8.self)
    let result =
      switch form {
      case .nfc: string.precomposedStringWithCanonicalMapping
      case .nfd: string.decomposedStringWithCanonicalMapping
      case .nfkc: string.precomposedStringWithCompatibilityMapping
      case .nfkd: string.decomposedStringWithCompatibilityMapping
      }
    return Array(result.utf8)
  }

  /// Each scalar by itself in lower case, without regard to its neighbours (no final sigma).
  private static func lowercased(_ text: [UInt8]) -> [UInt8] {
    if isASCII(text) { return text.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 } }
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    for scalar in UTF8Text.scalars(text) {
      if scalar.isASCII {
        let byte = UInt8(scalar.value)
        output.append((0x41...0x5A).contains(byte) ? byte + 0x20 : byte)
      } else {
        output += Array(scalar.properties.lowercaseMapping.utf8)
      }
    }
    return output
  }

  private static func filtered(_ text: [UInt8], keep: (Unicode.Scalar) -> Bool) -> [UInt8] {
    if isASCII(text) { return text.filter { keep(Unicode.Scalar($0)) } }
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    for scalar in UTF8Text.scalars(text) where keep(scalar) { UTF8Text.append(scalar, to: &output) }
    return output
  }

  private static func normalized(_ text: [UInt8], _ options: Bert) -> [UInt8] {
    var text = text
    if options.cleansText || options.separatesChinese {
      var output: [UInt8] = []
      output.reserveCapacity(text.count + text.count / 8)
      for scalar in UTF8Text.scalars(text) { append(scalar, options, to: &output) }
      text = output
    }
    if options.stripsAccents, !isASCII(text) {
      text = filtered(normalized(text, .nfd)) { !HuggingFaceUnicode.isAccent($0) }
    }
    return options.lowercases ? lowercased(text) : text
  }

  private static func append(_ scalar: Unicode.Scalar, _ options: Bert, to output: inout [UInt8]) {
    if scalar.value >= 0x20, scalar.value < 0x7F {
      output.append(UInt8(scalar.value))
      return
    }
    if options.cleansText {
      if scalar == "\t" || scalar == "\n" || scalar == "\r" {
        output.append(0x20)
        return
      }
      if scalar.value == 0 || scalar.value == 0xFFFD || HuggingFaceUnicode.isControl(scalar) { return }
      if ScalarClasses.of(scalar).contains(.space) {
        output.append(0x20)
        return
      }
    }
    let isSeparate = options.separatesChinese && HuggingFaceUnicode.isChinese(scalar)
    if isSeparate { output.append(0x20) }
    UTF8Text.append(scalar, to: &output)
    if isSeparate { output.append(0x20) }
  }

  private static func replaced(_ text: [UInt8], _ pattern: Pattern, _ content: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    text.withUnsafeBytes { buffer in
      var place = 0
      pattern.matches(in: buffer, 0..<buffer.count) { match in
        output.append(contentsOf: buffer[place..<match.lowerBound])
        output += content
        place = match.upperBound
      }
      output.append(contentsOf: buffer[place...])
    }
    return output
  }

  private static func stripped(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
    let scalars = UTF8Text.scalars(text)
    func isSpace(_ scalar: Unicode.Scalar) -> Bool { ScalarClasses.of(scalar).contains(.space) }
    var start = 0
    var end = scalars.count
    if left { while start < end, isSpace(scalars[start]) { start += 1 } }
    if right { while end > start, isSpace(scalars[end - 1]) { end -= 1 } }
    var output: [UInt8] = []
    for scalar in scalars[start..<end] { UTF8Text.append(scalar, to: &output) }
    return output
  }

  /// SentencePiece's rules as the library applies them: to whole grapheme clusters of fewer than six bytes, else to single
  /// characters; the shortest rule counts, and replaces all of them.
  private static func normalized(_ text: [UInt8], _ map: CharsMap) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    func replace(_ part: [UInt8]) -> Bool {
      part.withUnsafeBytes { buffer in
        guard let match = map.match(buffer, at: 0, longest: false) else { return false }
        map.appendReplacement(match.replacement, to: &output)
        return true
      }
    }
    for character in String(decoding: text, as: UTF8.self) {
      let cluster = Array(character.utf8)
      if cluster.count < 6, replace(cluster) { continue }
      for scalar in character.unicodeScalars {
        var part: [UInt8] = []
        UTF8Text.append(scalar, to: &part)
        if !replace(part) { output += part }
      }
    }
    return output
  }

  private static func nmt(_ text: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    for scalar in UTF8Text.scalars(text) {
      switch scalar.value {
      case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: continue
      case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
        output.append(0x20)
      default: UTF8Text.append(scalar, to: &output)
      }
    }
    return output
  }
}
