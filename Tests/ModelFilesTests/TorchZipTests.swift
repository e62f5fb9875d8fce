import ModelFiles
import TensorCore
import TestSupport
import Testing

/// Archives that are wrong in one place each.
struct TorchZipTests {
  private static let pickle = Pickle.document([("w", Pickle.tensor())])

  private func error(
    sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout Zip) -> Void
  ) -> ModelFileError? {
    var zip = Zip(TorchZipTests.pickle)
    change(&zip)
    #expect(zip.bytes.withUnsafeBytes { TorchFile.recognizes($0) }, sourceLocation: sourceLocation)
    return torchError(zip.bytes, sourceLocation: sourceLocation)
  }

  @Test func refusesADuplicatedEntry() {
    #expect(error { $0.entries.append($0.entries[1]) }?.reason == .duplicate)
  }

  @Test func refusesOverlappingEntries() {
    let failure = error { zip in
      // A second entry inside the storage's data, with a header of its own.
      let inside = Zip.Entry(name: "m/x", data: [])
      zip.entries[1].data = Array(Zip.bytesOfHeader(inside)) + [0]
      let place = zip.entries[0].data.count + 30 + 10 + 30 + 8
      zip.entries.append(.init(name: "m/x", data: [], offset: UInt32(place)))
    }
    #expect(failure?.reason == .badStructure)
    #expect(failure?.message.contains("overlap") == true)
  }

  @Test func refusesACompressedEntry() {
    #expect(error { $0.entries[1].method = 8 }?.reason == .unsupported)
  }

  @Test func refusesAnEncryptedEntry() {
    #expect(error { $0.entries[1].flags = 1 }?.reason == .unsupported)
  }

  @Test func refusesAWrongChecksumOfThePickle() {
    #expect(error { $0.entries[0].checksum = 1 }?.reason == .corrupt)
  }

  @Test func refusesAnEntryOverTheEnd() {
    #expect(error { $0.entries[1].size = 1 << 20 }?.reason == .badStructure)
    #expect(error { $0.entries[1].offset = 1 << 20 }?.reason == .badStructure)
  }

  @Test func refusesADirectoryThatDisagreesWithTheHeaders() {
    #expect(error { $0.entries[1].size = 15 }?.message.contains("disagree") == true)
    #expect(error { $0.entries[1].localName = "m/data/x" }?.message.contains("disagree") == true)
    #expect(error { $0.entries[1].offset = 1 }?.message.contains("no header at byte 1") == true)
  }

  @Test func refusesAWrongCount() {
    #expect(error { $0.announced = 3 }?.message.contains("announces 3 entries and holds 2") == true)
  }

  @Test func refusesMissingSizesOf64Bits() {
    #expect(error { $0.entries[1].size = .max }?.message.contains("64-bit") == true)
  }

  @Test func refusesTwoPickles() {
    #expect(error { $0.entries.append(.init(name: "n/data.pkl", data: [])) }?.reason == .notAModel)
  }

  @Test func refusesAnUnknownByteOrder() {
    #expect(
      error { $0.entries.append(.init(name: "m/byteorder", data: Array("middle".utf8))) }?.reason
        == .unsupported)
  }

  @Test func acceptsACommentAndSizesBehindTheData() throws {
    var bytes = Zip(TorchZipTests.pickle).bytes
    bytes[bytes.count - 2] = 3
    #expect(try readTorch(bytes + [1, 2, 3]).tensors.count == 1)
    // Flag 8: the header's checksum and sizes are zeros.
    let deferred = try Zip.deferringSizes(TorchZipTests.pickle)
    #expect(try readTorch(deferred).tensors.count == 1)
  }

  @Test(arguments: ["m", "a/b", ""]) func findsTheFolder(_ folder: String) throws {
    var zip = Zip(TorchZipTests.pickle)
    let root = folder.isEmpty ? "" : folder + "/"
    zip.entries[0].name = root + "data.pkl"
    zip.entries[1].name = root + "data/0"
    #expect(try readTorch(zip.bytes).tensors.count == 1)
  }
}

extension Zip {
  /// The local header of `entry`.
  static func bytesOfHeader(_ entry: Entry) -> ArraySlice<UInt8> {
    var zip = Zip([])
    zip.entries = [entry]
    return zip.bytes.prefix(30 + entry.name.utf8.count)
  }

  /// A checkpoint whose local headers leave checksum and sizes to a descriptor behind the data.
  static func deferringSizes(_ pickle: [UInt8]) throws -> [UInt8] {
    var zip = Zip(pickle)
    for place in zip.entries.indices { zip.entries[place].flags = 8 }
    var bytes = zip.bytes
    var start = 0
    for entry in zip.entries {
      for place in start + 14..<start + 26 { bytes[place] = 0 }
      start += 30 + entry.name.utf8.count + entry.data.count
    }
    return bytes
  }
}
