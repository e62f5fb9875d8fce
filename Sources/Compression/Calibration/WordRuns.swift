package import Passes

/// Runs of words that two texts have in common: a leak of evaluation text into calibration text.
///
/// Words, not tokens: a run of 13 tokens is half a sentence for one vocabulary and three words for another. A word is a run of
/// ASCII letters, digits and other bytes from 0x80 on, in lower case; ideographs and kana are words of their own. A document
/// shorter than a run is one run.
package enum WordRuns {
  /// The words of a run, as in GPT-3's search for contamination (Brown et al. 2020, appendix C).
  package static let length = 13
  /// The share of a text's runs above which the texts are not independent. Texts that only are of one kind stay below: the
  /// shipped ones, from one small grammar, share 0.4 % of their runs; two samples of books or of Wikipedia none.
  package static let textLimit = 0.01
  /// The same for sentences, which are mostly shorter than a run, so that common ones repeat: 4.7 % of STS-B's
  /// development sentences are in its training part.
  package static let sentenceLimit = 0.1

  /// The most share that a text of `runs` runs may have: `limit`, and what chance may add to it. Runs are shared in clumps of up
  /// to ``length``, so few of them say little: three standard errors of a share of `limit` in a thirteenth as many trials.
  package static func allowance(_ limit: Double, runs: Int) -> Double {
    limit + 3 * (limit * (1 - limit) * Double(length) / Double(max(1, runs))).squareRoot()
  }

  /// How many of the runs of `evaluation` are in `calibration`.
  package static func overlap(of evaluation: [[UInt8]], in calibration: [[UInt8]])
    -> CalibrationSummary.Overlap
  {
    var counts: [UInt64: Int] = [:]
    var total = 0
    for document in evaluation {
      forEachRun(of: document) {
        counts[$0, default: 0] += 1
        total += 1
      }
    }
    var shared = 0
    for document in calibration where !counts.isEmpty {
      forEachRun(of: document) { if let count = counts.removeValue(forKey: $0) { shared += count } }
    }
    return CalibrationSummary.Overlap(words: length, runs: total, shared: shared)
  }

  /// Calls `body` with a hash of each run of `text`.
  private static func forEachRun(of text: [UInt8], _ body: (UInt64) -> Void) {
    let words = hashes(ofWords: text)
    guard words.count > length else {
      if !words.isEmpty { body(hash(words[...])) }
      return
    }
    for start in 0...words.count - length { body(hash(words[start..<start + length])) }
  }

  private static func hash(_ words: ArraySlice<UInt64>) -> UInt64 {
    words.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ $1) &* 0x9E37_79B9_7F4A_7C15 ^ ($0 >> 29) }
  }

  /// A hash (FNV-1a) of each word.
  private static func hashes(ofWords text: [UInt8]) -> [UInt64] {
    var words: [UInt64] = []
    var word: UInt64?
    func end() {
      if let done = word { words.append(done) }
      word = nil
    }
    for byte in text {
      switch byte {
      case 0x30...0x39, 0x61...0x7A, 0x80...0xFF:
        // The first byte of U+3000 … U+9FFF, kana and ideographs, which are written without spaces.
        if (0xE3...0xE9).contains(byte) { end() }
        word = ((word ?? 0xCBF2_9CE4_8422_2325) ^ UInt64(byte)) &* 0x100_0000_01B3
      case 0x41...0x5A:
        word = ((word ?? 0xCBF2_9CE4_8422_2325) ^ UInt64(byte | 0x20)) &* 0x100_0000_01B3
      default: end()
      }
    }
    end()
    return words
  }
}
