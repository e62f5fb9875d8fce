import ModelFiles
import Models
import Testing

/// Ids and texts against the Python libraries, over a list of difficult texts.
@Suite struct TokenizerTortureTests {
  @Test func theListIsThere() {
    #expect(TokenizerFixtures.texts.count > 200)
    #expect(TokenizerFixtures.names.count >= 20)
  }

  @Test(arguments: TokenizerFixtures.names)
  func encodesAsTheLibrary(_ name: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(name)
    let expected = TokenizerFixtures.expectation(name)
    #expect(expected.ids.count == TokenizerFixtures.texts.count)
    // SentencePiece's own ids come without special ones.
    let addSpecial = !name.hasSuffix(".model")
    for (text, ids) in zip(TokenizerFixtures.texts, expected.ids) {
      #expect(
        tokenizer.encode(text, addSpecial: addSpecial) == ids, "\(name): \(TokenizerFixtures.show(text))")
    }
    for (text, ids) in zip(TokenizerFixtures.texts, expected.plain ?? []) {
      #expect(tokenizer.encode(text, addSpecial: false) == ids, "\(name): \(TokenizerFixtures.show(text))")
    }
  }

  @Test(arguments: TokenizerFixtures.names)
  func decodesAsTheLibrary(_ name: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(name)
    let expected = TokenizerFixtures.expectation(name)
    for (ids, text) in zip(expected.ids, expected.decoded ?? []) {
      let decoded = tokenizer.decode(ids)
      #expect(
        decoded == text, "\(name): \(TokenizerFixtures.show(decoded)) for \(TokenizerFixtures.show(text))")
    }
  }

  @Test(arguments: TokenizerFixtures.names)
  func survivesGGUF(_ name: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(name)
    let again = try #require(try TokenizerList.tokenizer(ofGGUF: tokenizer.ggufEntries, path: "x.gguf"))
    #expect(again.vocabularySize == tokenizer.vocabularySize)
    #expect(again.beginningOfText == tokenizer.beginningOfText)
    #expect(again.endOfText == tokenizer.endOfText)
    for text in TokenizerFixtures.texts {
      for addSpecial in [true, false] {
        let ids = tokenizer.encode(text, addSpecial: addSpecial)
        #expect(
          again.encode(text, addSpecial: addSpecial) == ids, "\(name): \(TokenizerFixtures.show(text))")
        #expect(again.decode(ids) == tokenizer.decode(ids), "\(name): \(TokenizerFixtures.show(text))")
      }
    }
  }
}
