import Evaluation
import TestSupport
import Testing

@Suite struct EncoderTextTests {
  static func text(_ string: String, limit: Int? = nil) throws -> EncoderText {
    try EncoderText(name: "t", bytes: Array(string.utf8), limit: limit)
  }

  static func strings(_ text: EncoderText) -> [String] {
    text.sentences.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func tableWithoutHeader() throws {
    let text = try Self.text("A cat.,A dog.,2.5\nA cat.,A car.,0\n")
    #expect(Self.strings(text) == ["A cat.", "A dog.", "A car."])
    #expect(text.pairs == [.init(first: 0, second: 1, score: 2.5), .init(first: 0, second: 2, score: 0)])
  }

  @Test func quotesAsInRFC4180() throws {
    let text = try Self.text("\"a, b\",\"he said \"\"no\"\"\",1\r\n\"two\nlines\",x,\"2\"\r\n")
    #expect(Self.strings(text) == ["a, b", "he said \"no\"", "two\nlines", "x"])
    #expect(text.pairs.map(\.score) == [1, 2])
  }

  @Test func headerNamesTheColumns() throws {
    let text = try Self.text("split,score,sentence1,sentence2\ndev,4,one,two\ndev,3.5,three,one\n")
    #expect(Self.strings(text) == ["one", "two", "three"])
    #expect(text.pairs == [.init(first: 0, second: 1, score: 4), .init(first: 2, second: 0, score: 3.5)])
  }

  @Test func headerWithUnknownNamesKeepsTheOrder() throws {
    let text = try Self.text("a,b,c\none,two,4\n")
    #expect(text.pairs == [.init(first: 0, second: 1, score: 4)])
  }

  @Test func tabs() throws {
    let text = try Self.text("sentence1\tsentence2\tscore\na, with comma\tb\t1e0\n")
    #expect(Self.strings(text) == ["a, with comma", "b"])
    #expect(text.pairs.map(\.score) == [1])
  }

  @Test func byteOrderMarkAndMissingLastLineBreak() throws {
    let text = try EncoderText(name: "t", bytes: [0xEF, 0xBB, 0xBF] + Array("a,b,1\nc,d,2".utf8))
    #expect(Self.strings(text) == ["a", "b", "c", "d"])
  }

  @Test func limitIsNoted() throws {
    let text = try Self.text("a,b,1\nc,d,2\ne,f,3\n", limit: 2)
    #expect(text.pairs.count == 2 && text.sentences.count == 4)
    #expect(text.notes == ["the first 2 of 3 pairs were used"])
  }

  @Test(arguments: [
    ("a,b,1\nc,d\n", "line 4: 2 columns, expected sentence1, sentence2, score"),
    ("a,b,1\nc,d,x\n", "line 4: the score is no number"),
    ("a,b,1\nc,d,inf\n", "line 4: the score is no number"),
    ("a,b,1\n\"c\nd,2\n", "line 4: a quoted field does not end"),
    ("\"a\"b,c,1\n\n", nil),
  ])
  func brokenTables(bytes: String, message: String?) throws {
    guard let message else {
      // Not a valid table from the start: it is read as text.
      #expect(try Self.text(bytes).pairs.isEmpty)
      return
    }
    #expect(throws: EvaluationError(.badText, "t", message)) { try Self.text("x,y,0\n\n" + bytes) }
  }

  @Test func proseWithCommasIsProse() throws {
    let text = try Self.text("Well, yes, no.\nThe second, \"quoted\" line.\nWell, yes, no.\n")
    #expect(text.pairs.isEmpty)
    #expect(Self.strings(text) == ["Well, yes, no.", "The second, \"quoted\" line."])
  }

  @Test func paragraphsAreCutIntoSentences() throws {
    let text = try Self.text("First sentence\nwrapped here. \"Second?\" Third\n\nNext paragraph!\n")
    #expect(
      Self.strings(text) == ["First sentence wrapped here.", "\"Second?\"", "Third", "Next paragraph!"])
  }

  @Test func nothingToRead() {
    #expect(throws: EvaluationError(.tooShort, "t", "there is no sentence in it")) { try Self.text("\n \n") }
    #expect(throws: EvaluationError(.badText, "t", "not a text: byte 1 is zero")) {
      try EncoderText(name: "t", bytes: [65, 0])
    }
  }

  @Test(.enabled(if: SharedData.isPresent))
  func readsSTSB() throws {
    let text = try EncoderText(path: SharedData.path("text/stsb-en-dev.csv"))
    #expect(text.pairs.count == 1500)
    #expect(text.pairs.allSatisfy { (0...5).contains($0.score) })
    #expect(Self.strings(text).contains("a woman is standing by a pillar where \"u2\" is written."))
  }
}
