import ModelFiles
import TensorCore
import TestSupport
import Testing

/// Legacy files written by hand; those that torch wrote are in TorchFileTests.
struct TorchLegacyFileTests {
  private static let magic: [UInt8] =
    Pickle.proto + [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19] + Pickle.stop

  private static func version(_ number: Int) -> [UInt8] { Pickle.proto + Pickle.int(number) + Pickle.stop }
  private static let machine = Pickle.proto + Pickle.emptyDict + Pickle.stop
  private static let object = Pickle.document([("w", tensor(view: [0x4E]))])
  private static let data = little(Int64(4)) + [UInt8](repeating: 2, count: 16)

  private static func keys(_ keys: [String]) -> [UInt8] {
    Pickle.proto + Pickle.emptyList + Pickle.mark + keys.flatMap(Pickle.string) + [0x65] + Pickle.stop
  }

  /// A tensor of two elements over a storage of four, or of the part that `view` names.
  private static func tensor(view: [UInt8]) -> [UInt8] {
    let storage = Pickle.tuple([
      Pickle.string("storage"), Pickle.global("torch", "FloatStorage"), Pickle.string("k"),
      Pickle.string("cpu"),
      Pickle.int(4), view,
    ])
    return Pickle.global("torch._utils", "_rebuild_tensor")
      + Pickle.tuple([
        storage + [0x51], Pickle.int(0), Pickle.tuple([Pickle.int(2)]), Pickle.tuple([Pickle.int(1)]),
      ]) + Pickle.reduce
  }

  private static func file(
    version: Int = 1001, object: [UInt8] = object, keys: [String] = ["k"], data: [UInt8] = data
  ) -> [UInt8] {
    magic + TorchLegacyFileTests.version(version) + machine + object + TorchLegacyFileTests.keys(keys) + data
  }

  @Test func readsTheFileItself() throws {
    let bytes = TorchLegacyFileTests.file()
    #expect(bytes.withUnsafeBytes { TorchFile.recognizes($0) })
    let source = try readTorch(bytes)
    #expect(source.container == .torchLegacy)
    #expect(try source.loaded().map(\.bytes) == [[UInt8](repeating: 2, count: 8)])
  }

  @Test func readsAViewOfAStorage() throws {
    let view = Pickle.tuple([Pickle.string("v"), Pickle.int(2), Pickle.int(2)])
    let object = Pickle.document([("w", TorchLegacyFileTests.tensor(view: view))])
    let data = little(Int64(4)) + Array(0..<16)
    let source = try readTorch(TorchLegacyFileTests.file(object: object, data: data))
    #expect(try source.loaded().map(\.bytes) == [Array(8..<16)])
  }

  @Test(arguments: [(3, 2), (-1, 2), (0, 5), (.max, 1), (1, .max)])
  func refusesAViewOutsideItsStorage(_ start: Int, _ count: Int) {
    let view = Pickle.tuple([Pickle.string("v"), Pickle.int(start), Pickle.int(count)])
    let object = Pickle.document([("w", TorchLegacyFileTests.tensor(view: view))])
    #expect(torchError(TorchLegacyFileTests.file(object: object))?.reason == .badStructure)
  }

  @Test func refusesAnotherVersion() {
    #expect(torchError(TorchLegacyFileTests.file(version: 1002))?.reason == .unsupported)
  }

  @Test func refusesAMissingStorage() {
    #expect(torchError(TorchLegacyFileTests.file(keys: [], data: []))?.reason == .missing)
  }

  @Test func refusesAStorageThatNobodyUses() {
    #expect(torchError(TorchLegacyFileTests.file(keys: ["x"]))?.reason == .badStructure)
  }

  @Test func refusesADuplicatedStorage() {
    let data = TorchLegacyFileTests.data
    #expect(torchError(TorchLegacyFileTests.file(keys: ["k", "k"], data: data + data))?.reason == .duplicate)
  }

  @Test(arguments: [0, 5, -1, .max] as [Int64]) func refusesAnotherCount(_ count: Int64) {
    let data = little(count) + [UInt8](repeating: 0, count: 16)
    #expect(torchError(TorchLegacyFileTests.file(data: data))?.reason == .badStructure)
  }

  @Test func refusesAForeignGlobal() {
    let object = Pickle.proto + Pickle.global("os", "system") + Pickle.stop
    #expect(torchError(TorchLegacyFileTests.file(object: object))?.reason == .forbiddenPickle)
  }

  @Test func refusesATarFile() {
    var bytes = [UInt8](repeating: 0, count: 1024)
    bytes.replaceSubrange(0..<8, with: Array("sys_info".utf8))
    bytes.replaceSubrange(257..<262, with: Array("ustar".utf8))
    #expect(bytes.withUnsafeBytes { TorchFile.recognizes($0) })
    #expect(torchError(bytes)?.reason == .unsupported)
  }
}
