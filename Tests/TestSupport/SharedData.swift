import Foundation

/// Real models and texts that may lie beside the project; tests that use them are skipped, visibly, where they do not.
public enum SharedData {
  /// The folder, or nil when it is absent.
  public static let folder: String? = {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let path = root.deletingLastPathComponent().appendingPathComponent("shared/data").path
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }()

  /// Whether the folder is there: `@Test(.enabled(if: SharedData.isPresent))`.
  public static var isPresent: Bool { folder != nil }

  /// The path of a file in the folder.
  public static func path(_ name: String) -> String { (folder ?? "") + "/" + name }
}

/// The folder of fixtures of the test target that `file` belongs to.
public func fixture(_ name: String, file: String = #filePath) -> String {
  URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent("Fixtures/\(name)").path
}
