import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// Real tokenizers on real texts, where they are at hand.
@Suite(.enabled(if: SharedData.isPresent)) struct SharedDataTokenizerTests {
  private static func tokenizer(_ name: String, _ kind: TokenizerFile.Kind) throws -> any Tokenizer {
    let region = try MappedFile(path: SharedData.path("models/" + name)).region
    let source = TokenizerFixtures.source([TokenizerFile(kind: kind, path: name, contents: region)])
    return try #require(try TokenizerList.tokenizer(of: source))
  }

  private static func text(_ name: String, _ count: Int) throws -> [UInt8] {
    let region = try MappedFile(path: SharedData.path("text/" + name)).region
    return withExtendedLifetime(region) { Array(region.buffer.prefix(count)) }
  }

  /// The ids that `make_tokenizers.py` recorded, by their number, first ones and a digest made of all.
  @Test func idsOfRealTextsAreThoseOfTheLibraries() throws {
    let entries = try #require(try TokenizerFixtures.json("tokenizers/shared.json").arrayValue)
    #expect(entries.count == 12)
    for entry in entries {
      let model = try #require(entry["model"]?.stringValue)
      let name = try #require(entry["text"]?.stringValue)
      let kind: TokenizerFile.Kind = model.hasSuffix("json") ? .json : .sentencePiece
      let tokenizer = try SharedDataTokenizerTests.tokenizer(model, kind)
      let text = try SharedDataTokenizerTests.text(name, 20000)
      let ids = tokenizer.encode(text, addSpecial: false)
      #expect(ids.count == entry["count"]?.intValue, "\(model) \(name)")
      #expect(Array(ids.prefix(32)) == entry["first"]?.arrayValue?.compactMap(\.intValue), "\(model) \(name)")
      #expect(SharedDataTokenizerTests.digest(ids) == entry["fnv"]?.stringValue, "\(model) \(name)")
    }
  }

  /// FNV-1a over the ids as 32-bit little-endian numbers, in hexadecimal.
  private static func digest(_ ids: [Int]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for id in ids {
      for shift in [0, 8, 16, 24] { hash = (hash ^ UInt64(id >> shift & 0xFF)) &* 0x100_0000_01B3 }
    }
    return String(hash, radix: 16)
  }

  @Test func llama2cAndSentencePieceAgree() throws {
    let bin = try SharedDataTokenizerTests.tokenizer("stories260K/tok512.bin", .llama2c)
    let model = try SharedDataTokenizerTests.tokenizer("stories260K/tok512.model", .sentencePiece)
    #expect(bin.vocabularySize == 512)
    #expect(model.vocabularySize == 512)
    // The model collapses runs of spaces, run.c doesn't: compare line by line where there are none.
    let text = try SharedDataTokenizerTests.text("tinystories-val.txt", 200_000)
    var compared = 0
    for line in text.split(separator: 0x0A) where line.first != 0x20 && line.last != 0x20 {
      guard !zip(line, line.dropFirst()).contains(where: { $0 == 0x20 && $1 == 0x20 }) else { continue }
      #expect(bin.encode(Array(line), addSpecial: true) == model.encode(Array(line), addSpecial: true))
      compared += 1
    }
    #expect(compared > 500)
    #expect(bin.decode(bin.encode(text, addSpecial: true)) == text)
  }

  @Test func vocabularyFileAndJSONAgree() throws {
    let json = try SharedDataTokenizerTests.tokenizer("minilm-l6-v2/tokenizer.json", .json)
    let text = try SharedDataTokenizerTests.tokenizer("minilm-l6-v2/vocab.txt", .wordPiece)
    #expect(json.vocabularySize == 30522)
    #expect(text.vocabularySize == 30522)
    let input = try SharedDataTokenizerTests.text("wikitext2-test-raw.txt", 100_000)
    let ids = json.encode(input, addSpecial: true)
    #expect(ids == text.encode(input, addSpecial: true))
    #expect(ids.first == 101)
    #expect(ids.last == 102)
    for torture in TokenizerFixtures.texts {
      #expect(json.encode(torture, addSpecial: true) == text.encode(torture, addSpecial: true))
    }
  }

  @Test(arguments: [
    ("books-7m/tokenizer.model", TokenizerFile.Kind.sentencePiece), ("minilm-l6-v2/tokenizer.json", .json),
    ("stories260K/tok512.model", .sentencePiece), ("stories260K/tok512.bin", .llama2c),
  ])
  func realTokenizersSurviveGGUF(_ name: String, _ kind: TokenizerFile.Kind) throws {
    let tokenizer = try SharedDataTokenizerTests.tokenizer(name, kind)
    let again = try #require(try TokenizerList.tokenizer(ofGGUF: tokenizer.ggufEntries, path: "x.gguf"))
    let text = try SharedDataTokenizerTests.text("calibration-groups-merged.txt", 100_000)
    let ids = tokenizer.encode(text, addSpecial: true)
    #expect(again.encode(text, addSpecial: true) == ids)
    #expect(again.decode(ids) == tokenizer.decode(ids))
  }

  @Test func booksTokenizerGivesTextsBack() throws {
    let tokenizer = try SharedDataTokenizerTests.tokenizer("books-7m/tokenizer.model", .sentencePiece)
    let text = try SharedDataTokenizerTests.text("books-valid.txt", 500_000)
    #expect(tokenizer.decode(tokenizer.encode(text, addSpecial: true)) == text)
  }
}
